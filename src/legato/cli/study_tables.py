"""A study on the terminal: its progress, its tables and its conclusion."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from legato.cli.console import say
from legato.cli.progress import Update, work_bar
from legato.lab.study import Study
from legato.lab.study.report import LEGEND, tables

#: Columns of a terminal for the whole table, and for one without character errors.
_WIDE, _ROOMY = 140, 108


@contextmanager
def progress() -> Iterator[Update]:
    """Show the progress: a bar on a terminal, otherwise a line per variant."""
    last = ""

    def line(what: str, done: int, total: int) -> None:
        nonlocal last
        if what != last:
            last = what
            say(f"{done / total:4.0%} {what}")

    with work_bar() as bar:
        yield bar or line


def print_study(found: Study, conclusion: Sequence[str]) -> None:
    """Print the tables and the conclusion. What does not fit is in study.md: narrow terminals omit character errors."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    shown = None if console.width >= _WIDE else -2
    roomy = console.width >= _ROOMY
    words = sum(result.words for result in found.fp32)
    console.print(f"{found.model}: {len(found.fp32)} utterances, {words} words", markup=False)
    for section in tables(found):
        table = Table(title=section.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        table.add_column(section.columns[0], min_width=24 if roomy else None)
        for name in section.columns[1:shown]:
            table.add_column(name, justify="right", min_width=(22 if "FP32" in name else 8) if roomy else None)
        for row in section.rows:
            table.add_row(*row[:shown])
        console.print(table)
    console.print(LEGEND, markup=False)
    for sentence in conclusion:
        console.print(f"- {sentence}", markup=False)
