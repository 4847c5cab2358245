"""Which conflict a command means, and what it says when it means none or several."""

import json

import pytest

from daemon_stand_in import StandIn
from relayfile.cli import conflicts, main
from relayfile.credentials.home import Home
from relayfile.errors import NotFound

SIDE = {"size": 1, "digest": "ab" * 32, "mode": "644"}


def conflict(path, copy):
    at = "2025-01-31T10:00:00.000Z"
    return {"path": path, "copy": copy, "made_at": at, "revision": "rev_3", "mine": SIDE, "theirs": SIDE}


TWICE = [conflict("/a/x", "/a/x 1"), conflict("/a/x", "/a/x 2"), conflict("/y", "/y 1")]


@pytest.fixture
def home(place, monkeypatch) -> Home:
    monkeypatch.setenv("RELAYFILE_HOME", str(place / ".relayfile"))
    (place / "m" / "a").mkdir(parents=True)
    monkeypatch.chdir(place / "m" / "a")
    return Home(place / ".relayfile")


@pytest.fixture
def daemon(home, place):
    with StandIn(place, "m", json.dumps(TWICE).encode()) as daemon:
        yield daemon


@pytest.mark.parametrize(
    ("word", "copies"),
    [
        ("x", ["/a/x 1", "/a/x 2"]),
        ("x 2", ["/a/x 2"]),
        ("../y", ["/y 1"]),
        ("/a/x", ["/a/x 1", "/a/x 2"]),
        ("/y 1", ["/y 1"]),
    ],
)
def test_a_conflict_is_named_by_path_or_copy_as_the_shell_or_the_workspace_names_it(home, daemon, word, copies):
    assert [one["copy"] for one in conflicts.named(home, word)[1]] == copies


def test_a_path_that_is_a_link_is_meant_itself(home, daemon, place):
    (place / "m" / "a" / "x").symlink_to("../y")
    assert len(conflicts.named(home, "x")[1]) == 2


def test_what_is_none_is_refused_with_those_there_are(home, daemon, capsys):
    with pytest.raises(NotFound) as refused:
        conflicts.named(home, "z")
    assert refused.value.code == "no_conflict"
    assert "/a/z" in refused.value.message
    assert "/a/x, /y" in refused.value.hint.replace("/a/x, /a/x", "/a/x")
    for words in (["diff", "z"], ["resolve", "z", "--keep", "mine"]):
        assert main.run(words) == 1
        assert "/a/z is no conflict" in capsys.readouterr().err


def test_mine_of_a_path_with_several_copies_must_be_named(home, daemon, capsys):
    for words in (["x"], ["--all"]):
        assert main.run(["resolve", *words, "--keep", "mine"]) == 2
        assert "/a/x 1, /a/x 2" in capsys.readouterr().err
    assert {line.split()[0] for line in daemon.asked} == {"GET"}, "nothing was decided"


def test_resolve_without_a_path_asks_for_one(home, daemon, capsys):
    assert main.run(["resolve", "--keep", "both"]) == 2
    assert not daemon.asked
    assert "--all" in capsys.readouterr().err


def test_a_stopped_mirror_is_named_and_the_others_are_listed(home, daemon, place, capsys):
    from relayfile.mirror import registry

    home.prepare("mirrors", "off")
    registry.save(home, registry.Record("off", "rw_2", "off", str(place / "off"), "http://127.0.0.1:1"))
    for made, code, words in ((False, 6, "is gone"), (True, 75, "is stopped")):
        if made:
            (place / "off").mkdir()
            ino = (place / "off").stat().st_ino
            where = str(place / "off")
            registry.save(home, registry.Record("off", "rw_2", "off", where, "http://127.0.0.1:1", root_ino=ino))
        assert main.run(["conflicts", "--json"]) == code
        said = capsys.readouterr()
        assert [one["copy"] for one in json.loads(said.out)] == ["/a/x 1", "/a/x 2", "/y 1"]
        assert words in said.err
    assert main.run(["conflicts", str(place / "m")]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["PATH", "REVISION", "THEIRS", "MINE", "WHEN", "COPY"]
    assert "/m/a/x" in table[1]
    assert "rev_3" in table[1]
    assert "1 B abababab" in table[1]
