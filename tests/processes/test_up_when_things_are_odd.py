"""`relayfile up` where something is in the way: it says what, harms nothing, and goes on once it is mended."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from servers import clean_environment
from waiting import until


@pytest.fixture
def acme(new_machine, place):
    root = place / "acme"
    root.mkdir()
    (root / "a.txt").write_text("a\n")
    machine = new_machine()
    yield machine, root
    machine.try_("down", within_s=30)


def names(machine):
    return [one["name"] for one in machine.run("workspace", "list", "--json", "--profile", "local").json]


def test_two_ups_at_once_start_one_server_and_one_daemon(acme):
    machine, root = acme
    both = [
        subprocess.Popen(machine.command("up", root), env=clean_environment(machine.folder), stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=90)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert len(machine.daemons()) == 1
    assert names(machine) == ["acme"]


def test_a_port_that_another_program_took_is_named_and_nothing_is_changed(acme):
    machine, root = acme
    machine.run("up", root, within_s=60)
    machine.run("down", within_s=30)
    kept = (machine.home / "server" / "local.json").read_text()
    port = int(json.loads(kept)["url"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        ran = machine.run("up", root, exit_code=78, within_s=60)
    assert f"process {os.getpid()} (" in ran.err, "it says who listens there"
    assert str(port) in ran.err
    assert str(machine.home / "server" / "local.json") in ran.err.partition("next: ")[2]
    assert "--listen" not in ran.err
    assert (machine.home / "server" / "local.json").read_text() == kept
    machine.run("up", root, within_s=60)
    machine.until_live(root)


def test_after_down_a_command_says_how_the_server_comes_back(acme):
    machine, root = acme
    machine.run("up", root, within_s=60)
    machine.run("down", within_s=30)
    for words in (("whoami",), ("tree", "acme", "/")):
        ran = machine.run(*words, exit_code=75)
        assert "next: `relayfile up`" in ran.err


def test_a_file_and_a_place_of_secrets_are_refused_before_anything_is_made(acme, place):
    machine, _ = acme
    (place / "file").write_text("mine")
    assert "not a directory" in machine.run("up", place / "file", exit_code=2).err
    machine.run("up", machine.folder, exit_code=78, within_s=60)
    assert not machine.daemons()
    assert (place / "file").read_text() == "mine"
    assert names(machine) == []


def test_a_killed_server_and_a_killed_daemon_are_started_again_by_the_same_words(acme):
    machine, root = acme
    machine.run("up", root, within_s=60)
    first = machine.until_live(root)
    for pid in machine.daemons():
        os.kill(pid, signal.SIGKILL)
    server = int((machine.home / "server" / "local.pid").read_text())
    os.kill(server, signal.SIGKILL)
    (root / "b.txt").write_text("written while nothing ran\n")
    until(lambda: not machine.daemons(), within_s=10, what="the daemon is gone")

    machine.run("up", within_s=60)

    assert machine.until_live(root)["workspace"] == first["workspace"]
    assert machine.run("read", "acme", "/b.txt").out == "written while nothing ran\n"


def test_a_lost_sign_in_is_made_anew_without_a_prompt(acme):
    machine, root = acme
    machine.expected.append("signed out")
    machine.run("up", root, within_s=60)
    machine.run("logout", "--profile", "local")
    machine.run("up", root, within_s=60)
    machine.until_live(root)
    assert names(machine) == ["acme"]


def test_down_leaves_a_server_that_up_did_not_start(acme):
    machine, root = acme
    process = subprocess.Popen(
        [sys.executable, "-m", "relayfile", "serve", "--listen", "127.0.0.1:0"],
        env=clean_environment(machine.folder),
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    while b"serving at" not in process.stderr.readline():
        assert process.poll() is None
    machine.run("down", exit_code=7)
    ran = machine.run("up", root, exit_code=7)
    assert "did not start" in ran.err
    assert process.poll() is None
    process.terminate()
    process.wait(20)
    process.stderr.close()


def test_up_of_a_mirror_of_another_server_is_refused_and_says_how_to_start_it(acme, server, place):
    machine, root = acme
    machine.login(server)
    machine.run("workspace", "create", "team")
    machine.run("mount", "team", root)
    ran = machine.run("up", root, exit_code=2)
    assert "relayfile mount" in ran.err
    machine.run("down")
    assert machine.daemons(), "down stops what up started, no more"
