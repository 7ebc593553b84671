"""Progress bars on standard error, which disappear when the work is done.

Each yields the function that moves the bar, or None where standard error is no terminal.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

Update = Callable[[str, int, int], None]
"""Takes a name, the part that is done, and the whole."""


@contextmanager
def seconds_bar(name: str, seconds: float) -> Iterator[Callable[[float], None] | None]:
    """Show seconds of audio; the function takes the seconds done."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress

    time = progress.TextColumn("{task.completed:.0f}/{task.total:.0f} s")
    with _bars(time, progress.TimeRemainingColumn()) as bars:
        task = bars.add_task(name, total=seconds)
        yield lambda done: bars.update(task, completed=min(done, seconds))


@contextmanager
def bytes_bar() -> Iterator[Update | None]:
    """Show the bytes of a download, one file after the other."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress

    columns = (progress.DownloadColumn(), progress.TransferSpeedColumn(), progress.TimeRemainingColumn())
    with _bars(*columns) as bars:
        task = bars.add_task("contacting the hub", total=None)
        yield lambda name, done, total: bars.update(task, description=name, completed=done, total=total)


@contextmanager
def steps_bar() -> Iterator[Update | None]:
    """Show the steps of a task below each other."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress

    with _bars(progress.MofNCompleteColumn(), progress.TimeElapsedColumn()) as bars:
        tasks: dict[str, progress.TaskID] = {}

        def update(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield update


@contextmanager
def work_bar() -> Iterator[Update | None]:
    """Show one long task and the item that is being worked on."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress

    columns = (progress.MofNCompleteColumn(), progress.TimeElapsedColumn(), progress.TimeRemainingColumn())
    with _bars(*columns) as bars:
        task = bars.add_task("", total=None)
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total)


def _bars(*columns: "ProgressColumn") -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    first = TextColumn("{task.description}", markup=False)
    return Progress(first, BarColumn(), *columns, console=Console(stderr=True), transient=True)
