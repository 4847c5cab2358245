"""Two people do anything a file system allows in two mirrors of one workspace, hundreds of times a second, at once.

Then they stop. Both directories and the workspace are equal, and every writing that was left standing is kept.
"""

import threading
import time

import pytest

from fleet import Fleet
from hands import Hands

SEED = 11


@pytest.fixture
def two(server, new_machine, place):
    machines = [new_machine(), new_machine()]
    for machine in machines:
        machine.expected += ["halt|delet"]
    with Fleet.of(server, machines, place) as fleet:
        yield fleet


def at_work(hands: Hands, seconds: float, rate: float) -> None:
    """Works for so long, at about so many things a second."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        hands.act()
        due = len(hands.did) / rate
        if due > passed:
            time.sleep(due - passed)


def work_and_rest(fleet: Fleet, seed: int, seconds: float, rate: float) -> None:
    people = [
        Hands(member.root, name, seed * 10 + n)
        for n, (member, name) in enumerate(zip(fleet.members, "xy", strict=True))
    ]
    threads = [threading.Thread(target=at_work, args=(hands, seconds, rate)) for hands in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    began, head = time.monotonic(), fleet.head
    tree = fleet.at_rest(within_s=90, accept=True)
    done = [sum(not said.startswith("(") for said in hands.did) for hands in people]
    print(
        f"\nseed {seed}: {done} things done in {seconds:g} s, at rest {time.monotonic() - began:.1f} s later; "
        f"{head} events by then, {fleet.head} at rest, {len(tree)} files, "
        f"{sum('(conflict ' in path for path in tree)} conflict copies"
    )
    fleet.check_kept(set().union(*(hands.owed for hands in people)))
    fleet.check_nothing_is_hidden()


@pytest.mark.timeout(600)
def test_two_people_work_on_everything_at_once_and_end_equal_with_nothing_lost(two):
    work_and_rest(two, SEED, 6, 300)


@pytest.mark.slow
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("seed", range(20))
def test_two_people_work_long_and_end_equal_with_nothing_lost(two, seed):
    work_and_rest(two, 100 + seed, 20, 100 + 50 * (seed % 8))
