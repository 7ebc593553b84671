"""The text on the screen during live recognition: settled sentences stay, the rest is redrawn."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from legato.cli.console import put
from legato.cli.terminal import Terminal
from legato.text.growing import GrowingLines
from legato.types import Event, Final, Segment

_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*\s+|[。！？｡][」』”’）]*|[।॥؟۔]\s*")
_PENDING_LINES = 3


class Screen(Protocol):
    """Shows events."""

    def add(self, events: list[Event]) -> None:
        """Show events."""


@contextmanager
def open_screen() -> Iterator[Screen]:
    """Show events on standard output: redrawn on a terminal, otherwise as text that grows."""
    if not sys.stdout.isatty():
        lines = _Lines()
        try:
            yield lines
        finally:
            lines.end()
        return
    console = Terminal()
    with Live(console=console, transient=True, auto_refresh=False, vertical_overflow="visible") as live:
        yield _Terminal(console, live)


def settled(text: str, room: int) -> int:
    """Count the characters at the start of a text that need no redrawing.

    These are its whole sentences; where there are none, the part that exceeds `room` characters.
    """
    end = 0
    for match in _SENTENCE_END.finditer(text):
        if match.end() < len(text):
            end = match.end()
    if len(text) - end > room:
        space = text.rfind(" ", end, end + room)
        end = space + 1 if space > end else end + room
    return end


class _Lines:
    """Text that grows; each segment ends its line."""

    def __init__(self) -> None:
        self._lines = GrowingLines()

    def add(self, events: list[Event]) -> None:
        put(self._lines.add(events))

    def end(self) -> None:
        put(self._lines.end())


class _Terminal:
    """Settled sentences scroll up; the last sentence is redrawn below them."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console, self._live = console, live
        self._settled = ""

    def add(self, events: list[Event]) -> None:
        for event in events:
            final = isinstance(event, Segment | Final)
            self._show(event.transcript.text if isinstance(event, Final) else event.text, final)

    def _show(self, text: str, final: bool) -> None:
        if not text.startswith(self._settled):  # another segment, or a text that was taken back
            self._settled = ""
        rest = text[len(self._settled) :]
        room = _PENDING_LINES * max(20, self._console.width)
        while done := len(rest) if final else settled(rest, room):
            self._live.console.print(Text(rest[:done].strip()))
            self._settled += rest[:done]
            rest = rest[done:]
        self._live.update(Text(rest.lstrip(), style="dim"), refresh=True)
        if final:
            self._settled = ""
