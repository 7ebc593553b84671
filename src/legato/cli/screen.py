"""The text on the screen while it is spoken: what is final stays, what may still grow is drawn again."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from legato.cli.live import GrowingText
from legato.types import Event, Final, Segment

_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*\s+|[。！？｡][」』”’）]*|[।॥؟۔]\s*")
_PENDING_LINES = 3


class Screen(Protocol):
    """Where events are shown."""

    def add(self, events: list[Event]) -> None:
        """Show events."""


@contextmanager
def open_screen() -> Iterator[Screen]:
    """Show events on standard output: redrawn on a terminal, else as a text that grows, with a line end after it."""
    if not sys.stdout.isatty():
        text = GrowingText(show=True)
        try:
            yield text
        finally:
            text.end()
        return
    console = Console(highlight=False)
    with Live(console=console, transient=True, auto_refresh=False, vertical_overflow="visible") as live:
        yield _Terminal(console, live)


def settled(text: str, room: int) -> int:
    """Characters at the start of a text that need no redrawing: whole sentences; without any, what exceeds `room`."""
    end = 0
    for match in _SENTENCE_END.finditer(text):
        if match.end() < len(text):
            end = match.end()
    if len(text) - end > room:
        space = text.rfind(" ", end, end + room)
        end = space + 1 if space > end else end + room
    return end


class _Terminal:
    """Final sentences scroll up; the last one is redrawn below them."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console, self._live = console, live
        self._final = ""

    def add(self, events: list[Event]) -> None:
        for event in events:
            final = isinstance(event, Segment | Final)
            self._show(event.transcript.text if isinstance(event, Final) else event.text, final)

    def _show(self, text: str, final: bool) -> None:
        if not text.startswith(self._final):  # another segment, or a text that was taken back
            self._final = ""
        rest = text[len(self._final) :]
        room = _PENDING_LINES * max(20, self._console.width)
        while done := len(rest) if final else settled(rest, room):
            self._live.console.print(Text(rest[:done].strip()))
            self._final += rest[:done]
            rest = rest[done:]
        self._live.update(Text(rest.lstrip(), style="dim"), refresh=True)
        if final:
            self._final = ""
