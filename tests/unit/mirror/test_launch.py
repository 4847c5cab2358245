"""Starting and stopping a daemon from another process, with a stand-in for the daemon."""

import os
import stat
import sys

import pytest

from relayfile.credentials.home import Home
from relayfile.errors import LeaseHeld, LoginRequired, Misconfigured, Unavailable
from relayfile.mirror import launch, root

ACME = {"workspace": "rw_1", "workspace_name": "acme", "api_url": "http://one", "profile": "default"}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def record(home, tmp_path):
    return root.prepare(home, tmp_path / "root", **ACME)


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """Makes `python -m relayfile …` run this body instead; `say(line)` speaks over the ready descriptor."""

    def stand_in(body: str) -> None:
        script = tmp_path / "stand-in"
        script.write_text(
            f"#!{sys.executable}\nimport os, sys, time\nfd = int(sys.argv[sys.argv.index('--ready-fd') + 1])\n"
            f"def say(line): os.write(fd, line.encode() + b'\\n')\n{body}\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(launch.sys, "executable", str(script))

    return stand_in


def test_a_daemon_that_is_ready_lets_the_command_return(home, record, daemon):
    daemon("assert sys.argv[1:4] == ['-m', 'relayfile', 'mount']; say('ready')")
    launch.start(home, record)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (LeaseHeld("process 12 already keeps it", pid=12), LeaseHeld),
        (LoginRequired("sign in", hint="relayfile login"), LoginRequired),
        (Misconfigured("no locks", code="no_locks"), Misconfigured),
    ],
)
def test_a_daemon_that_cannot_begin_says_why_in_its_own_words(home, record, daemon, error, kind):
    daemon(f"say({launch.failure_line(error)!r})")
    with pytest.raises(kind) as raised:
        launch.start(home, record)
    assert (raised.value.message, raised.value.code, raised.value.hint) == (error.message, error.code, error.hint)
    assert getattr(raised.value, "pid", None) == getattr(error, "pid", None)


def test_a_daemon_that_dies_without_a_word_is_told_with_the_place_of_its_log(home, record, daemon):
    daemon("print('what it said', file=sys.stderr); sys.exit(3)")
    with pytest.raises(Misconfigured, match="exit 3") as raised:
        launch.start(home, record)
    log = home.mirror(record.id) / "log"
    assert str(log) in raised.value.hint
    assert "what it said" in log.read_text()


def test_a_daemon_that_goes_on_trying_is_left_to_it(home, record, daemon):
    daemon("sys.stdin.read(); time.sleep(5)")
    with pytest.raises(Unavailable) as raised:
        launch.start(home, record, within_s=0.5)
    assert raised.value.code == "not_ready"


def test_stopping_asks_then_signals_and_waits_until_the_lease_is_free(home, record, daemon):
    daemon(
        "import signal\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from relayfile.mirror.beneath import Beneath\n"
        "from relayfile.mirror.lease import Lease\n"
        f"with Beneath({record.directory!r}) as beneath, Lease(beneath.root, beneath.private, 'r'):\n"
        "    signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n"
        "    say('ready')\n"
        "    signal.pause()\n"
    )
    assert launch.stop(home, record) is False
    launch.start(home, record)
    running = launch.pid(home, record)
    assert running is not None
    assert running != os.getpid()
    assert launch.stop(home, record) is True
    assert launch.pid(home, record) is None
