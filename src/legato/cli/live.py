"""Raw PCM on standard input, recognised while it comes."""

import sys
from typing import TYPE_CHECKING

from legato.audio.source import pcm_blocks
from legato.cli.interrupt import Interruptible
from legato.cli.writing import put
from legato.errors import AudioError
from legato.streaming.collect import with_segments
from legato.text.formats import event_as_dict, json_line
from legato.types import Event, Final, Partial, Segment, Transcript

if TYPE_CHECKING:
    from legato.recognizer import Options, Recognizer

_EXAMPLE = "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - | legato transcribe -"
_FILE_HEADS = (b"RIFF", b"OggS", b"fLaC", b"ID3", b"\x1aE\xdf\xa3")


def transcribe_live(recognizer: "Recognizer", options: "Options", *, shown: str | None) -> tuple[Transcript, bool]:
    """Recognise standard input until it ends or Ctrl-C.

    Args:
        recognizer: the model.
        options: for `Recognizer.stream`.
        shown: what to print on standard output meanwhile: `txt`, the text as it grows, and a line end after it and
            after each segment; `jsonl`, an object for every event but the last; None, nothing.

    Returns:
        The transcript, and whether Ctrl-C ended it. Segments that were shown as text are not kept.

    Raises:
        AudioError: standard input is a terminal, an audio file instead of raw samples, or empty.
    """
    if sys.stdin.isatty():
        raise AudioError(f"standard input is the keyboard. Send it 16-bit 16 kHz mono PCM, as in: {_EXAMPLE}")
    head = sys.stdin.buffer.peek(4) if hasattr(sys.stdin.buffer, "peek") else b""
    if head.startswith(_FILE_HEADS):
        raise AudioError(f"standard input is an audio file; '-' takes raw PCM. Give its name, or: {_EXAMPLE}")
    text = _Events() if shown == "jsonl" else GrowingText(shown is not None)
    source = Interruptible()
    heard = 0
    segments: list[Segment] = []

    def note(events: list[Event]) -> None:
        text.add(events)
        if shown != "txt":
            segments.extend(event for event in events if isinstance(event, Segment))

    with recognizer.stream(**options) as stream, source:
        for block in source.blocks(pcm_blocks(sys.stdin.buffer)):
            heard += len(block)
            note(stream.accept(block))
        if not heard:
            raise AudioError(f"standard input is empty: 0 samples. Send it 16-bit 16 kHz mono PCM, as in: {_EXAMPLE}")
        events = stream.finish()
        note(events)
    final = events[-1]
    assert isinstance(final, Final)
    text.end()
    return with_segments(segments, final.transcript), source.interrupted


class GrowingText:
    """Prints what is new of a text that only grows, on standard output if `show` says so."""

    def __init__(self, show: bool) -> None:
        self._show = show
        self._shown = ""
        self._lines = False

    def add(self, events: list[Event]) -> None:
        """Print what the events add."""
        for event in events:
            self._print(event.transcript.text if isinstance(event, Final) else event.text)
            if isinstance(event, Segment) and event.text:
                self._line()
                self._lines = True

    def end(self) -> None:
        """End the line, if there is one that is not ended."""
        if self._shown or not self._lines:
            self._line()

    def _line(self) -> None:
        if self._show:
            put("\n")
        self._shown = ""

    def _print(self, text: str) -> None:
        if not self._show or text == self._shown:
            return
        # Should a text ever not continue what is on the screen, it starts a new line.
        new = text[len(self._shown) :] if text.startswith(self._shown) else "\n" + text
        put(new)
        self._shown = text


class _Events:
    """Prints all events but the last as JSON lines; of segments those with text."""

    def add(self, events: list[Event]) -> None:
        for event in events:
            if not isinstance(event, Final) and (isinstance(event, Partial) or event.text):
                put(json_line(event_as_dict(event, file="-")))

    def end(self) -> None:
        """Leave the end to the transcript's own lines."""
