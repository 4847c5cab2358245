"""What is asked a hundred times a day loads nothing for it: neither asyncio, ssl, json nor any HTTP library."""

import json
import os
import subprocess
import sys

import pytest

from daemon_stand_in import StandIn
from servers import clean_environment

ALLOWED = {
    "_socket",
    "relayfile",
    "relayfile.cli",
    "relayfile.cli.boot",
    "relayfile.cli.catalogue",
    "relayfile.cli.local",
    "relayfile.cli.terminal",
    "relayfile.credentials",
    "relayfile.credentials.home",
}
REPORT = """
import sys
before = set(sys.modules)
sys.argv = ["relayfile", *{words!r}]
from relayfile.cli.boot import main
code = main()
sys.stdout.flush()
print("\\n".join(sorted(set(sys.modules) - before)), file=sys.stderr)
sys.exit(code)
"""


def loaded(place, *words):
    """What the command printed, and the modules it loaded beyond those of a bare interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(words=words)],
        env=clean_environment(place),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize("words", [["--version"], ["--help"], []])
def test_a_question_about_the_program_loads_only_the_words_of_the_answer(place, words):
    said, modules = loaded(place, *words)
    assert "relayfile" in said
    assert modules <= ALLOWED, modules - ALLOWED


def test_status_of_running_mirrors_copies_what_each_daemon_renders_and_loads_nothing(place):
    with StandIn(place, "m1", b"acme  live\n") as one, StandIn(place, "m2", b"beta  live\n") as two:
        said, modules = loaded(place, "status")
    assert said == "acme  live\n\nbeta  live\n"
    assert modules <= ALLOWED, modules - ALLOWED
    for asked in (one.asked, two.asked):
        assert asked == ["GET /status?format=text&width=100&color=0 HTTP/1.0"]


def test_status_as_json_loads_no_asyncio_ssl_or_http_library(place):
    fragment = {"directory": "/x", "state": "live"}
    with StandIn(place, "m1", json.dumps(fragment).encode()):
        said, modules = loaded(place, "status", "--json")
    assert json.loads(said)["mirrors"] == [fragment]
    assert not modules & {"asyncio", "ssl", "http.client", "aiohttp", "rich"}


def test_the_names_of_the_short_path_are_those_of_the_registry(place):
    from relayfile.cli import local
    from relayfile.credentials.home import Home
    from relayfile.mirror import registry

    home = Home(place / ".relayfile")
    home.prepare("mirrors", "abc")
    registry.save(home, registry.Record("abc", "rw_1", "acme", "/somewhere", "http://127.0.0.1:1"))
    assert local.sockets(os.fspath(home)) == [registry.control_socket(home, "abc")]
    elsewhere = place / "short.sock"
    (home.mirror("abc") / registry.SOCKET).symlink_to(elsewhere)
    assert local.sockets(os.fspath(home)) == [registry.control_socket(home, "abc")] == [str(elsewhere)]
    registry.retire(home, "abc")
    assert local.sockets(os.fspath(home)) == []
