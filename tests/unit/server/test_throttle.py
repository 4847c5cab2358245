"""How often someone may try."""

import pytest

from relayfile.errors import Unavailable
from relayfile.server import throttle as module
from relayfile.server.throttle import Throttle


def test_the_limit_holds_within_the_window_for_each_key_alone():
    now = [0.0]
    throttle = Throttle(2, 10.0, clock=lambda: now[0])
    throttle.count("a")
    now[0] = 4.0
    throttle.count("a")
    throttle.check("b")
    with pytest.raises(Unavailable) as refused:
        throttle.check("b", "a")
    assert (refused.value.status, refused.value.retry_after_s) == (429, 6.0)
    now[0] = 10.0
    throttle.check("a")
    throttle.count("a")
    assert throttle.wait_s("a") == 4.0


def test_memory_is_bounded_and_the_oldest_go_first(monkeypatch):
    monkeypatch.setattr(module, "_MAX_KEYS", 100)
    throttle = Throttle(1, 10.0, clock=lambda: 0.0)
    for n in range(1_000):
        throttle.count(n)
    assert len(throttle._attempts) <= 100
    assert throttle.wait_s(999)
    assert not throttle.wait_s(0)
