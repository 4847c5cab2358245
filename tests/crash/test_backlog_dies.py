"""A daemon is killed again and again while it catches up with a long log; each time it goes on where it was."""

import random
import time
from dataclasses import dataclass

import pytest

from fleet import COPY, Fleet, Member
from lossy_proxy import LossyProxy
from relayfile.mirror.reader import AHEAD
from waiting import until

SEED = 3
BODY_BYTES = 1_024
BATCH_FILES = 512
"""What the mirror places at once, and asks for at once (5-sync A.2)."""
IN_FLIGHT = AHEAD + 2
"""Batches that a death may cost: read ahead, on the way, and at hand."""


@dataclass(frozen=True)
class Backlog:
    files: int
    events: int

    def path(self, number: int) -> str:
        return f"d{number % self.files % 40}/f{number % self.files}.txt"

    def body(self, number: int) -> str:
        return (f"{number} " * BODY_BYTES)[:BODY_BYTES]

    def tree(self) -> dict[str, bytes]:
        last = range(self.events - self.files, self.events)
        return {self.path(number): self.body(number).encode() for number in last}

    def fill(self, fleet: Fleet) -> None:
        for first in range(0, self.events, 200):
            numbers = range(first, min(first + 200, self.events))
            fleet.http.bulk(fleet.workspace, ((f"/{self.path(number)}", self.body(number)) for number in numbers))


def current(member: Member, head: int) -> bool:
    said = member.picture()
    return bool(said) and said["observed"] == head and bool(said["equal"])


def life(member: Member, seconds: float, head: int, places: list[int]) -> bool:
    """Whether the daemon became current within so long of its listening; if not, it is killed."""
    until(lambda: member.picture() or not member.alive, within_s=60, what="it listens", evidence=member.evidence)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if current(member, head):
            return True
        places.append(member.picture().get("observed") or places[-1])
        time.sleep(0.01)
    member.kill()
    return False


def caught_up(member: Member, head: int, calm_s: float, chance: random.Random) -> int:
    """How often it was killed until it was current: mostly at work, now and then while it begins."""
    places = [0]
    for kills in range(500):
        member.start()
        if kills % 4 == 3:
            time.sleep(0.5 * chance.random())
            member.kill()
        elif life(member, calm_s * chance.uniform(0.05, 0.25) * 1.05**kills, head, places):
            assert places == sorted(places), "no position of the log was observed twice"
            return kills
    raise AssertionError(f"no progress\n{member.evidence()}")


def interrupted(fleet: Fleet, proxy: LossyProxy, backlog: Backlog) -> tuple[int, str]:
    """How often it was killed, and the figures."""
    calm, struck = fleet.members
    for member in fleet.members:
        member.stop()
    backlog.fill(fleet)
    head, before = fleet.head, proxy.answered_bytes
    began = time.monotonic()
    calm.start()
    until(lambda: current(calm, head), within_s=300, what="the calm run is current", evidence=calm.evidence)
    calm_s, calm_bytes = time.monotonic() - began, proxy.answered_bytes - before
    calm.stop()
    before, began = proxy.answered_bytes, time.monotonic()
    kills = caught_up(struck, head, calm_s, random.Random(SEED))
    struck_s, struck_bytes = time.monotonic() - began, proxy.answered_bytes - before
    calm.start()
    tree = fleet.at_rest()
    assert tree == backlog.tree()
    assert not [path for path in tree if COPY.fullmatch(path)]
    fleet.check_nothing_is_hidden()
    most = calm_bytes + kills * IN_FLIGHT * BATCH_FILES * (calm_bytes / backlog.files)
    asked = [one for one in fleet.server.access_log() if one["path"].endswith("/fs/blobs")]
    figures = (
        f"{backlog.events} events over {backlog.files} files: calm {calm_s:.1f} s, killed {kills} times: "
        f"{struck_s:.1f} s ({struck_s / calm_s:.1f} times as long), {len(asked)} times bodies were asked for "
        f"by digest; {calm_bytes:,} and {struck_bytes:,} bytes came down, "
        f"as for {(struck_bytes - calm_bytes) / calm_bytes * backlog.files / max(1, kills):.0f} files more a kill"
    )
    assert struck_bytes <= most, figures
    assert len(asked) <= 2 * kills + 2, figures
    return kills, figures


@pytest.fixture
def fleet_and_proxy(start_server, new_machine, place):
    server = start_server()
    machines = [new_machine(), new_machine()]
    for machine in machines:
        machine.expected += ["did not end in good order"]
    with LossyProxy(server.url) as proxy, Fleet.of(server, machines, place, through=proxy.url) as fleet:
        yield fleet, proxy


@pytest.mark.timeout(600)
def test_killed_through_a_backlog_it_ends_equal_and_fetches_only_what_was_in_flight_again(fleet_and_proxy):
    kills, figures = interrupted(*fleet_and_proxy, Backlog(files=4_000, events=8_000))
    print(f"\n{figures}")
    assert kills >= 3


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_killed_through_the_whole_backlog_it_ends_equal_and_fetches_only_what_was_in_flight_again(fleet_and_proxy):
    kills, figures = interrupted(*fleet_and_proxy, Backlog(files=4_000, events=53_000))
    print(f"\n{figures}")
    assert kills >= 5
