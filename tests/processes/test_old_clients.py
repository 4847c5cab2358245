"""Clients that know only v1 beside our processes: on a sign-in of their own, and on the one we use.

The figures of each run are printed (`pytest -s`).
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from machines import Machine
from naive import NaiveClient
from old_fleet import OldClient
from plain_http import PlainHttp
from servers import OWNER, PASSWORD, Server
from storms import Storm, figures
from waiting import until

WORKSPACE = "fleet"
ACCESS_TTL_S = 3.0
OVERLAP_S = 4.0
OFTEN_S = 1.7
SELDOM_S = 2.9
"""Less often than ours renew: what it holds has been consumed by then."""
COMMANDS = (("whoami", "--json"), ("tree", WORKSPACE, "/"), ("status", "--json"))


def started(start_server, overlap_s: float) -> Server:
    return start_server(
        access_ttl=f"{ACCESS_TTL_S:g}s", refresh_overlap=f"{overlap_s:g}s", expected=["overlap"] if overlap_s else []
    )


def signed_in_as_v1(server: Server, machine: Machine) -> None:
    """The machine's file holds a login begun through the v1 door, as a v1 client writes it."""
    door = PlainHttp(server.url, agent="relayfile-cli/0.10.46")
    grant = door.ok("POST", "/api/v1/cli/login", body={"username": OWNER, "password": PASSWORD})
    door.close()
    machine.home.mkdir(mode=0o700)
    machine.credentials.touch(0o600)
    machine.credentials.write_text(json.dumps({**grant, "apiUrl": server.url}))


def mounted(machine: Machine, root: Path) -> Path:
    machine.run("workspace", "create", WORKSPACE)
    root.mkdir()
    (root / "a.txt").write_text("a\n")
    machine.run("mount", WORKSPACE, root, "--shared-login")
    machine.until_live(root)
    return root


def family_of(machine: Machine) -> str:
    return json.loads(machine.credentials.read_bytes())["refreshToken"].removeprefix("cld_rt_").split(".")[0]


def for_lifetimes(count: float, storm: Storm, and_until: Callable[[], bool] = lambda: True) -> None:
    over = time.monotonic() + count * ACCESS_TTL_S
    with storm.raging():
        until(
            lambda: (time.monotonic() > over and and_until()) or storm.wrong,
            within_s=count * ACCESS_TTL_S + 30,
            what="the lifetimes passed, and what must happen in them has happened",
        )


def test_an_old_client_on_a_sign_in_of_its_own_does_not_thrash_within_the_overlap(start_server, new_machine, place):
    server, machine = started(start_server, OVERLAP_S), new_machine()
    machine.login(server)
    root = mounted(machine, place / "mirror")
    storm = Storm(machine, COMMANDS, crowd=4)
    old = NaiveClient(server.url, every_s=2.0).start()
    try:
        for_lifetimes(3, storm)
    finally:
        old.stop()
    ours, theirs = (figures(server, family, ACCESS_TTL_S) for family in (family_of(machine), old.family))
    print(f"\nold client on its own sign-in, overlap {OVERLAP_S:g} s\n  ours   {ours}\n  theirs {theirs}\n  {storm}")
    assert old.refused == 0
    assert old.cycles_cancelled == 0
    assert old.rotated >= 4
    assert theirs.refused == 0
    assert theirs.events["replayed"], "it did present consumed tokens: without the overlap it would thrash"
    assert ours.refused == 0
    assert not storm.wrong, storm.wrong[:3]
    ours.check_r5()
    machine.until_live(root)


@pytest.mark.parametrize(
    ("v1_login", "overlap_s"),
    [
        pytest.param(True, OVERLAP_S, id="v1-login-overlapping"),
        pytest.param(False, 0.0, id="our-login-strict"),
        pytest.param(True, 0.0, id="v1-login-strict", marks=pytest.mark.slow),
        pytest.param(False, 4 * SELDOM_S, id="our-login-overlapping", marks=pytest.mark.slow),
    ],
)
def test_an_old_client_on_the_shared_login(start_server, new_machine, place, v1_login, overlap_s):
    """What happens, case by case, as the table under "Old clients" in docs/sessions.md says it."""
    server, machine = started(start_server, overlap_s), new_machine()
    if v1_login:
        signed_in_as_v1(server, machine)
    else:
        machine.login(server)
    machine.expected.append("login: ")
    root = mounted(machine, place / "mirror")
    family = family_of(machine)
    storm = Storm(machine, COMMANDS, crowd=4)
    thrashes = v1_login != bool(overlap_s)
    refusals, every_s = (2, SELDOM_S) if thrashes else (0, OFTEN_S)
    with OldClient(server.url, machine.credentials, every_s=every_s) as old:
        for_lifetimes(3, storm, lambda: old.refused >= refusals)
    seen = figures(server, family, ACCESS_TTL_S)
    whose = "v1" if v1_login else "our"
    print(
        f"\nold client on the shared {whose} login, overlap {overlap_s:g} s\n  {seen}\n  {storm}\n  "
        f"old client: renewed {old.rotated}, refused {old.refused}, rate limited {old.limited}"
    )
    events = [event for event in server.audit() if event["family"] == family]
    ours_refused = Counter(
        event["generation"]
        for event in events
        if event["event"] in {"rejected", "reused", "superseded"} and event["client"].startswith("relayfile/")
    )
    assert max(ours_refused.values(), default=0) <= 1, f"we presented a refused token again: {ours_refused}"
    if not v1_login and not overlap_s:
        # Theft and an old client look the same here: the family ends, once, and everyone says why.
        assert seen.events["reused"] == 1
        parked = machine.until_mirror(
            root, lambda one: one["state"] == "auth-failed", within_s=30, what="the mirror says auth-failed"
        )
        assert "reuse" in parked["cause"]["message"], parked["cause"]
        return
    assert seen.events["reused"] == seen.events["revoked"] == 0, "nobody's family ended"
    assert storm.forced_logins == 0
    assert not storm.wrong, storm.wrong[:3]
    if thrashes:  # by itself: refused, it reads the file again, and is refused again when ours have renewed
        assert seen.events["superseded"] >= old.refused >= refusals
        assert seen.events["replayed"] == 0
    else:
        assert seen.refused == 0
        assert old.refused == 0
    machine.until_live(root)
