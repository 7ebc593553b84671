"""What is shown to people cannot command their terminal: control characters and changes of direction become visible.

Pieces of a model, names of files, phrases and messages may hold anything. Results that go to a file or a pipe stay as
they are.
"""

from collections.abc import Iterable
from typing import Any, TextIO, cast

_KEPT = {0x09, 0x0A}
_REPLACEMENT = 0xFFFD
_TABLE = {
    **{code: 0x2400 + code for code in range(0x20) if code not in _KEPT},  # control pictures
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), _REPLACEMENT),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], _REPLACEMENT),  # embeddings, overrides, isolates
}


def visible(text: str) -> str:
    """Return a text with a visible character for each control character but tab and line end, and each override."""
    return text if text.isprintable() else text.translate(_TABLE)


class VisibleStream:
    """A text stream that passes everything on in its visible form; the rest is that of the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str, /) -> int:
        """Write a text and return its length."""
        self.stream.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def shown(stream: TextIO) -> TextIO:
    """Return the stream as one that shows what is written to it."""
    return stream if isinstance(stream, VisibleStream) else cast("TextIO", VisibleStream(stream))


def bare(stream: TextIO) -> TextIO:
    """Return the stream itself, for what may send commands to the terminal."""
    return stream.stream if isinstance(stream, VisibleStream) else stream
