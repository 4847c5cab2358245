"""What a measurement is, and how it is shown."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One result. `ratio` is `measured` over `floor`; `goal` is what it must reach, and `met` whether it did."""

    name: str
    measured: float
    unit: str
    floor: float | None
    floor_is: str
    ratio: float | None
    goal: str
    met: bool
    samples: Sequence[float] = ()
    note: str = ""

    def row(self) -> dict[str, Any]:
        """As it stands in results.json."""
        return asdict(self)


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    """Seconds of the block are appended to `into`."""
    began = time.perf_counter()
    yield
    into.append(time.perf_counter() - began)


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which `share` of all lie."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def table(figures: Sequence[Figure]) -> str:
    """All figures as a table for a terminal."""
    head = ("figure", "measured", "floor", "ratio", "goal", "met")
    rows = [
        (
            figure.name,
            _number(figure.measured, figure.unit),
            _number(figure.floor, figure.unit),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.goal,
            "yes" if figure.met else "NO",
        )
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    lines.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"  {figure.name}: {text}" for figure in figures for text in (figure.floor_is, figure.note) if text]
    return "\n".join([*lines, "", "Floors and notes:", *notes])


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"
