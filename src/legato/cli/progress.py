"""Progress bars on standard error, which disappear when the work is done.

Each yields the function that moves the bar, or None where standard error is no terminal.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Update = Callable[[str, int, int], None]
"""Takes a name, the part that is done, and the whole."""


@contextmanager
def seconds_bar(name: str, seconds: float) -> Iterator[Callable[[float], None] | None]:
    """Show seconds of audio; the function takes the seconds done."""
    with _bars("{task.completed:.0f}/{task.total:.0f} s", "TimeRemainingColumn") as bars:
        if bars is None:
            yield None
        else:
            task = bars.add_task(name, total=seconds)
            yield lambda done: bars.update(task, completed=min(done, seconds))


@contextmanager
def bytes_bar() -> Iterator[Update | None]:
    """Show the bytes of a download, one file after the other."""
    with _bars("DownloadColumn", "TransferSpeedColumn", "TimeRemainingColumn") as bars:
        yield None if bars is None else _single(bars, "contacting the hub")


@contextmanager
def steps_bar() -> Iterator[Update | None]:
    """Show the steps of a task below each other."""
    tasks: dict[str, TaskID] = {}
    with _bars("MofNCompleteColumn", "TimeElapsedColumn") as bars:

        def update(step: str, done: int, total: int) -> None:
            assert bars is not None
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield None if bars is None else update


@contextmanager
def work_bar() -> Iterator[Update | None]:
    """Show one long task and the item that is being worked on."""
    with _bars("MofNCompleteColumn", "TimeElapsedColumn", "TimeRemainingColumn") as bars:
        yield None if bars is None else _single(bars, "")


def _single(bars: "Progress", name: str) -> Update:
    task = bars.add_task(name, total=None)
    return lambda what, done, total: bars.update(task, description=what, completed=done, total=total)


@contextmanager
def _bars(*columns: str) -> "Iterator[Progress | None]":
    """Show bars with these columns, classes of rich or formats of text; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress

    from legato.cli.terminal import Terminal

    first = progress.TextColumn("{task.description}", markup=False)
    more = [progress.TextColumn(name) if "{" in name else getattr(progress, name)() for name in columns]
    with progress.Progress(first, progress.BarColumn(), *more, console=Terminal(stderr=True), transient=True) as bars:
        yield bars
