"""The bar shows what is done of the most there ever was, whether the teller counts up or counts what is left."""

import pytest

from relayfile.cli import progress


def drawn(steps):
    with progress.bar("x") as bar:
        for step in steps:
            bar.at(*step)
        task = bar._drawing.tasks[0]
        return task.completed, task.total, task.fields["files"], task.fields["size"]


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        ([(0, 4, 0, 4000), (1, 4, 1000, 4000)], (1000, 4000, "1/4 files", "1.0 kB of 4.0 kB")),
        ([(0, 4, 0, 0), (3, 4, 0, 0)], (3, 4, "3/4 files", "")),
        ([(0, 2600, 0, 0), (0, 800, 0, 0)], (1800, 2600, "1,800/2,600 files", "")),
        ([(1, 400, 5, 5)], (1, 400, "1/400 files", "")),
        ([(1, 2, 0, 0), (2, 9, 0, 0)], (2, 9, "2/9 files", "")),
    ],
    ids=["bytes", "files", "only what is left", "hardly any size known", "a growing total"],
)
def test_the_bar_stands_where_so_much_is_left(steps, shown):
    assert drawn(steps) == shown
