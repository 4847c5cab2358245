"""The bucket: over any time no more goes by than its rate, and what goes by is not held longer than for that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayfile.core.bandwidth import Bucket
from relayfile.core.sizes import rates_of
from relayfile.errors import UsageError

BURST = 1_000


@given(
    st.integers(1, 10_000_000),
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, BURST)), min_size=1, max_size=20),
)
def test_over_any_time_at_most_its_rate_and_one_burst_go_by(rate, taken):
    bucket, now_s, went = Bucket(rate, BURST), 0.0, []
    for pause_ms, count in taken:
        now_s += pause_ms / 1000
        went.append((now_s + bucket.take(count, now_s), count))
    assert went == sorted(went, key=lambda one: one[0]), "who takes first goes first"
    for first in range(len(went)):
        total = 0
        for at_s, count in went[first:]:
            total += count
            assert total <= (rate * (at_s - went[first][0]) + BURST) * (1 + 1e-6) + 1e-3


@given(st.integers(1, 10_000_000), st.lists(st.integers(1, BURST), min_size=1, max_size=20))
def test_who_always_has_something_to_carry_gets_the_whole_rate(rate, counts):
    bucket, now_s = Bucket(rate, BURST), 0.0
    for count in counts:
        now_s += bucket.take(count, now_s)
    assert now_s == pytest.approx(max(0.0, (sum(counts) - BURST) / rate), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("2M", (2_000_000, 2_000_000)),
        ("500k/2M", (500_000, 2_000_000)),
        ("0", (0, 0)),
        ("unlimited/10k", (0, 10_000)),
    ],
)
def test_a_bandwidth_is_of_both_directions_or_of_each(text, rates):
    assert rates_of(text) == rates


@pytest.mark.parametrize("text", ["", "fast", "9k", "1", "2M/1", "2M/3M/4M", "/"])
def test_what_is_no_bandwidth_or_would_let_nothing_through_is_refused(text):
    with pytest.raises(UsageError):
        rates_of(text)
