"""How the lock of a credential file is waited for."""

import fcntl
import os
import random

import pytest

from relayfile.credentials import lock
from relayfile.credentials.clock import SystemClock
from relayfile.errors import Unavailable


class Slept(SystemClock):
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now, self.sleeps = 1000.0, []

    def boottime(self):
        return self.now

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def taken(place):
    """The path of a lock that somebody else holds."""
    path = place / "x.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    yield str(path)
    os.close(fd)


@pytest.mark.parametrize("renewal_s", [0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 20.0])
def test_whoever_waits_for_a_renewal_learns_of_its_end_soon_in_proportion(taken, renewal_s):
    clock, chance = Slept(), random.Random(3)
    with lock.held(taken, "renew", 30.0, clock, chance.random, lambda: clock.now >= 1000.0 + renewal_s) as holding:
        assert holding is None
    late_s = clock.now - 1000.0 - renewal_s
    assert late_s <= min(0.375, max(0.003, 0.15 * renewal_s))


def test_a_wait_ends_when_it_was_said_to_and_looks_seldom_in_its_later_part(taken):
    clock = Slept()
    with pytest.raises(Unavailable), lock.held(taken, "renew", 30.0, clock, random.Random(3).random, lambda: False):
        pass
    assert clock.now == pytest.approx(1030.0)
    assert len(clock.sleeps) < 200
    assert min(clock.sleeps[-20:-1]) >= 0.125


def test_without_a_wait_it_is_tried_once(taken):
    clock = Slept()
    with pytest.raises(Unavailable), lock.held(taken, "renew", 0.0, clock, random.Random(3).random, lambda: False):
        pass
    assert not clock.sleeps
