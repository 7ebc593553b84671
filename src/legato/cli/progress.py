"""Progress bars, on standard error and gone when they are done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


@contextmanager
def seconds_bar(name: str, seconds: float) -> Iterator[Callable[[float], None]]:
    """Show seconds of audio done; gives the function to tell them to."""
    columns = (TextColumn("{task.fields[name]}", markup=False), BarColumn(), _seconds(), TimeRemainingColumn())
    with Progress(*columns, console=_console(), transient=True) as bars:
        task = bars.add_task("", name=name, total=seconds)
        yield lambda done: bars.update(task, completed=min(done, seconds))


@contextmanager
def bytes_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show bytes done of many files; gives the function for file, bytes done and bytes in all."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=_console(), transient=True) as bars:
        task = bars.add_task("asking the hub", total=None)
        yield lambda name, done, total: bars.update(task, description=name, completed=done, total=total)


@contextmanager
def steps_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show steps one after the other; gives the function for name of step, done and total."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=_console(), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def update(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield update


@contextmanager
def work_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show one long piece of work; gives the function for what is being done, and how much of all is done."""
    columns = (
        TextColumn("{task.fields[what]}", markup=False),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=_console(), transient=True) as bars:
        task = bars.add_task("", what="", total=None)
        yield lambda what, done, total: bars.update(task, what=what, completed=done, total=total)


def _console() -> Console:
    return Console(stderr=True)


def _seconds() -> TextColumn:
    return TextColumn("{task.completed:.0f}/{task.total:.0f} s")
