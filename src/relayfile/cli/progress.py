"""The progress bar. Imported only where a terminal will show it: rich costs more than most commands."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Bar:
    """One bar: of bytes where the sizes are known, else of files. It leaves the screen when the work is done."""

    def __init__(self, drawing: RichProgress, task: TaskID) -> None:
        self._drawing = drawing
        self._task = task
        self._most = [0, 0]

    def at(self, files: int, files_total: int, size_bytes: int, total_bytes: int) -> None:
        """The bar stands where so much is left. Totals may grow, and shrink where they tell only what is left."""
        left = (files_total - files, total_bytes - size_bytes)
        self._most = [max(most, total) for most, total in zip(self._most, (files_total, total_bytes), strict=True)]
        done = [most - rest for most, rest in zip(self._most, left, strict=True)]
        # Less than a byte a file: the teller does not know the sizes of most of them.
        of_bytes = self._most[1] >= max(1, self._most[0])
        self._drawing.update(
            self._task,
            completed=done[of_bytes],
            total=self._most[of_bytes] or None,
            files=f"{done[0]:,}/{self._most[0]:,} files",
            size=f"{decimal(done[1])} of {decimal(self._most[1])}" if of_bytes else "",
            rate=self._rate(of_bytes=of_bytes),
        )

    def _rate(self, *, of_bytes: bool) -> str:
        speed = self._drawing.tasks[0].speed
        if not speed:
            return ""
        return f"{decimal(int(speed))}/s" if of_bytes else f"{speed:,.0f} files/s"


@contextmanager
def bar(title: str) -> Iterator[Bar]:
    """A bar on stderr for as long as the block runs."""
    columns = (
        TextColumn(escape(title)),
        BarColumn(),
        TextColumn("{task.fields[files]}"),
        TextColumn("{task.fields[size]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as drawing:
        yield Bar(drawing, drawing.add_task("", total=None, files="", size="", rate=""))
