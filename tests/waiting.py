"""Waiting for a condition, with a deadline and with evidence when it does not come. Nothing else may wait."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    condition: Callable[[], T],
    *,
    within_s: float,
    what: str,
    evidence: Callable[[], object] = lambda: "",
    every_s: float = 0.02,
) -> T:
    """The first truthy answer of `condition`.

    Raises:
        AssertionError: it did not come within `within_s`; names the last answer and what `evidence` saw.
    """
    deadline = time.monotonic() + within_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {within_s:g} s: {what}\nlast answer: {answer!r}\nevidence: {evidence()}"
            )
        time.sleep(every_s)
