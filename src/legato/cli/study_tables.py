"""A study on the terminal: its progress, its tables and its conclusion."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.table import Table

from legato.cli.console import say
from legato.cli.progress import Update, work_bar
from legato.cli.terminal import Terminal
from legato.lab.study import Study
from legato.lab.study.report import LEGEND, tables

#: Columns of a terminal for the whole table. One of 80 columns has room for these.
_WIDE = 118
_NARROW = ("error %", "KL mnat", "tokens %", "words %", "minus FP32 (95 %)")


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
    """Print the tables and the conclusion. What does not fit is in study.md: narrow terminals omit some columns."""
    console = Terminal(width=None if sys.stdout.isatty() else 150)
    words = sum(result.words for result in found.fp32)
    console.print(f"{found.model}: {len(found.fp32)} utterances, {words} words")
    for section in tables(found):
        titles = section.columns
        narrow = [titles.index(title) for title in _NARROW]  # of two columns with this title the first, WER's
        shown = [0, *(range(1, len(titles)) if console.width >= _WIDE else narrow)]
        table = Table(
            title=section.title,
            title_justify="left",
            title_style="bold",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        for place in shown:
            title = "WER minus FP32 (95 %)" if place == narrow[-1] else titles[place].replace(" ", "\n", place > 0)
            table.add_column(title, justify="right" if place else "left", no_wrap=place > 0)
        for row in section.rows:
            table.add_row(*(row[place] for place in shown))
        console.print(table)
    console.print(LEGEND)
    for sentence in conclusion:
        console.print(f"- {sentence}")
