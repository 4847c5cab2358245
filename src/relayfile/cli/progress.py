"""The progress bar. Imported only where a terminal will show it: rich costs more than most commands."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress


class Bar:
    """One bar of bytes, with the files told beside it. It leaves the screen when the work is done."""

    def __init__(self, drawing: RichProgress, task: TaskID) -> None:
        self._drawing = drawing
        self._task = task

    def at(self, files: int, files_total: int, size_bytes: int, total_bytes: int) -> None:
        """The bar stands at so many bytes of so many; a total of 0 is "not known yet"."""
        if total_bytes:
            done, total = size_bytes, total_bytes
        else:
            done, total = files, files_total
        self._drawing.update(
            self._task, completed=done, total=total or None, files=f"{files:,}/{files_total:,} files"
        )


@contextmanager
def bar(title: str) -> Iterator[Bar]:
    """A bar on stderr for as long as the block runs."""
    columns = (
        TextColumn(escape(title)),
        BarColumn(),
        TextColumn("{task.fields[files]}"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as drawing:
        yield Bar(drawing, drawing.add_task("", total=None, files=""))
