"""A text that grows, given out piece by piece."""

from collections.abc import Iterable

from legato.types import Event, Final, Segment


class GrowingText:
    """Remembers which part of a growing text was given out.

    Attributes:
        text: what was given out so far.
    """

    def __init__(self) -> None:
        self.text = ""

    def grow(self, text: str) -> str:
        """Return what `text` adds; empty if it adds nothing, or does not continue what was given out."""
        if not text.startswith(self.text):
            return ""
        new = text[len(self.text) :]
        self.text = text
        return new


class GrowingLines:
    """The events of a stream as lines of text: what they add, and a line end after every segment with text.

    A segment that ended before its last word, because it had become too long, has no line end.
    """

    def __init__(self) -> None:
        self._line = GrowingText()
        self._ended_a_line = False

    @property
    def open(self) -> bool:
        """Whether the last line has text and no end."""
        return bool(self._line.text)

    def add(self, events: Iterable[Event]) -> str:
        """Return what events add to the text."""
        return "".join(map(self._add, events))

    def end(self) -> str:
        """Return the line end that is missing at the end of the stream, if any."""
        return self._end_line() if self._line.text or not self._ended_a_line else ""

    def _add(self, event: Event) -> str:
        text = event.transcript.text if isinstance(event, Final) else event.text
        if isinstance(event, Segment) and text and self._line.text.startswith(text) and self._line.text != text:
            # The segment ended before its last word, which is given out. The line goes on with the next segment.
            self._line.text = self._line.text[len(text) :].lstrip()
            return ""
        new = ""
        if not text.startswith(self._line.text):  # a text that does not continue the line starts another
            new = "\n"
            self._line = GrowingText()
        new += self._line.grow(text)
        return new + self._end_line() if isinstance(event, Segment) and event.text else new

    def _end_line(self) -> str:
        self._line = GrowingText()
        self._ended_a_line = True
        return "\n"
