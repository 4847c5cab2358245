"""A mirror's own credential with everything real: server, daemon, commands, files."""

import itertools
import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from machines import Machine
from servers import Server
from waiting import until

WORKSPACE = "acme"


@pytest.fixture
def quick(start_server) -> Server:
    return start_server(access_ttl="2s", refresh_overlap="0s")


@pytest.fixture
def signed_in(quick, new_machine) -> Machine:
    made = new_machine()
    made.login(quick)
    made.run("workspace", "create", WORKSPACE)
    return made


def sessions(machine: Machine, kind: str) -> list[dict]:
    return [one for one in machine.run("auth", "sessions", "--json").json if one["kind"] == kind]


def folder_of(machine: Machine, root: Path) -> Path:
    return machine.home / "mirrors" / machine.mirror(root)["mirror"]


def renewals(server: Server, family: str) -> int:
    return sum(event["family"] == family and event["event"] == "renewed" for event in server.audit())


def test_a_mirror_lives_on_after_its_person_signed_out(quick, signed_in, place):
    machine, root = signed_in, place / "mirror"
    machine.run("mount", WORKSPACE, root)
    (mine,) = sessions(machine, "daemon")
    assert mine["mirror"] == machine.mirror(root)["mirror"]
    machine.run("logout")
    observer = quick.observer()
    workspace = mine["workspace"]
    before = renewals(quick, mine["id"])
    until(lambda: renewals(quick, mine["id"]) >= before + 2, within_s=20, what="two lifetimes passed", every_s=0.3)
    (root / "here.txt").write_text("written while signed out\n")
    until(
        lambda: observer.content(workspace, "/here.txt") == b"written while signed out\n",
        within_s=15,
        what="the edit arrived",
    )
    live = machine.until_live(root)
    assert live["login"]["credential"] == "own"
    assert live["login"]["state"] in {"valid", "due"}
    # Also after a restart, which needs no sign-in either.
    machine.run("stop", root)
    assert machine.mirror(root)["login"]["credential"] == "own"
    machine.run("mount", root)
    assert machine.until_live(root)["login"]["family"] == mine["id"][:8]


def test_a_killed_daemon_goes_on_with_the_same_credential(quick, signed_in, place):
    machine, root = signed_in, place / "mirror"
    machine.run("mount", WORKSPACE, root)
    (mine,) = sessions(machine, "daemon")
    (pid,) = machine.daemons()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not machine.daemons(), within_s=10, what="it is gone")
    machine.run("mount", root)
    machine.until_live(root)
    assert [one["id"] for one in sessions(machine, "daemon")] == [mine["id"]]


def test_a_revoked_credential_is_not_brought_back_until_somebody_signs_in_or_mounts(quick, signed_in, place):
    machine, root = signed_in, place / "mirror"
    machine.expected.append("auth-failed")
    machine.run("mount", WORKSPACE, root)
    for bring_back in ("login", "mount"):
        (mine,) = sessions(machine, "daemon")
        machine.run("auth", "revoke", mine["id"])
        parked = machine.until_mirror(
            root, lambda one: one["state"] == "auth-failed", within_s=15, what="it says auth-failed"
        )
        assert "revoked" in parked["cause"]["message"]
        assert machine.run("tree", WORKSPACE, "/").code == 0, "the sign-in itself lives"
        assert not sessions(machine, "daemon")
        if bring_back == "login":
            machine.login(quick)
        else:
            machine.run("stop", root)
            machine.run("mount", root)
        machine.until_live(root)
        (again,) = sessions(machine, "daemon")
        assert again["id"] != mine["id"]


def hinted(parked: dict) -> list[str]:
    """The words of the command that `status` names."""
    return re.search(r"`relayfile ([^`]+)`", parked["cause"]["message"])[1].split()


@pytest.mark.parametrize("word", ["the hint", "mount", "restart"])
def test_what_status_names_for_a_revoked_mirror_makes_it_live(quick, signed_in, place, word):
    machine, root = signed_in, place / "mirror"
    machine.expected.append("auth-failed")
    machine.run("mount", WORKSPACE, root)
    (mine,), daemons = sessions(machine, "daemon"), machine.daemons()
    machine.run("auth", "revoke", mine["id"])
    parked = machine.until_mirror(
        root, lambda one: one["state"] == "auth-failed", within_s=15, what="it says auth-failed"
    )
    told = machine.run(*(hinted(parked) if word == "the hint" else (word, root)))
    machine.until_live(root)
    (again,) = sessions(machine, "daemon")
    assert again["id"] != mine["id"]
    if word != "restart":
        assert machine.daemons() == daemons, "it was no restart"
    if word == "the hint":
        assert f"the mirror {root} goes on" in told.err
        assert machine.run(*hinted(parked), "--json").json["resumed"] == [], "nothing waits any more"


def test_a_mirror_changes_from_the_shared_sign_in_to_its_own_and_back(quick, signed_in, place):
    machine, root = signed_in, place / "mirror"
    machine.run("mount", WORKSPACE, root, "--shared-login")
    live = machine.until_live(root)
    assert live["login"]["credential"] == "shared"
    assert not sessions(machine, "daemon")
    assert not (folder_of(machine, root) / "key.pem").exists()
    for option, kind in (("--no-shared-login", "own"), ("--shared-login", "shared")):
        machine.run("restart", root)
        assert machine.until_live(root)["login"]["credential"] != kind, "remembered"
        machine.run("stop", root)
        machine.run("mount", root, option)
        assert machine.until_live(root)["login"]["credential"] == kind
        assert len(sessions(machine, "daemon")) == (kind == "own")
        assert (folder_of(machine, root) / "key.pem").exists() == (kind == "own")


def test_the_key_of_a_mirror_never_leaves_its_file(quick, signed_in, place):
    machine, root = signed_in, place / "mirror"
    machine.run("mount", WORKSPACE, root)
    folder = folder_of(machine, root)
    (mine,) = sessions(machine, "daemon")
    until(lambda: renewals(quick, mine["id"]) >= 1, within_s=15, what="it renewed", every_s=0.3)
    key = "".join((folder / "key.pem").read_text().splitlines()[1:-1])
    held = json.loads((folder / "credential.json").read_text())
    secrets = [key, key[:40], held["refreshToken"]]
    for name in ("key.pem", "credential.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    machine.run("stop", root)
    places = itertools.chain(machine.folder.rglob("*"), quick.folder.rglob("*"), root.rglob("*"))
    mine_alone = {folder / "key.pem", folder / "credential.json"}
    for path in places:
        if path.is_file() and not path.is_symlink() and path not in mine_alone:
            found = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in found], path
    said = machine.run("status", "--json").out + machine.run("auth", "log", "--json").out
    assert not [secret for secret in secrets if secret in said]


def test_a_daemon_that_does_not_answer_keeps_neither_the_sign_in_nor_the_other_mirrors_from_going_on(
    quick, signed_in, place
):
    machine, roots = signed_in, [place / "a", place / "b"]
    machine.expected.append("auth-failed")
    hung = 0
    for root in roots:
        machine.run("mount", WORKSPACE, root)
        hung = hung or machine.daemons()[0]
    for mine in sessions(machine, "daemon"):
        machine.run("auth", "revoke", mine["id"])
    for root in roots:
        machine.until_mirror(root, lambda one: one["state"] == "auth-failed", within_s=15, what="it says auth-failed")
    os.kill(hung, signal.SIGSTOP)
    try:
        told = machine.run("login", "--json")
    finally:
        os.kill(hung, signal.SIGCONT)
    assert told.json["resumed"] == [str(roots[1])]
    (untold,) = told.json["untold"]
    assert untold["directory"] == str(roots[0])
    assert f"the daemon of {roots[0]} does not answer" in told.err
    assert f"next: {untold['hint']}" in told.err
    machine.until_live(roots[1])
    machine.run("restart", roots[0])
    machine.until_live(roots[0])


def test_a_restart_that_cannot_look_at_the_sign_in_stops_nothing(signed_in, place):
    machine, root = signed_in, place / "mirror"
    machine.run("mount", WORKSPACE, root)
    daemons = machine.daemons()
    record = folder_of(machine, root) / "mirror.json"
    whole = record.read_text()
    record.write_text(json.dumps(json.loads(whole) | {"profile": "no/name"}))
    machine.run("restart", root, exit_code=2)
    record.write_text(whole)
    assert machine.daemons() == daemons
    machine.until_live(root)
