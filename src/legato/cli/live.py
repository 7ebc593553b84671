"""Raw PCM on standard input, recognised while it comes."""

import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from legato.audio import Samples, pcm_blocks
from legato.errors import AudioError
from legato.transcript import Event, Final, Transcript

if TYPE_CHECKING:
    from legato.recognizer import Options, Recognizer

_EXAMPLE = "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - | legato transcribe -"
_FILE_HEADS = (b"RIFF", b"OggS", b"fLaC", b"ID3", b"\x1aE\xdf\xa3")


def transcribe_live(recognizer: "Recognizer", options: "Options", *, show: bool) -> tuple[Transcript, bool]:
    """Recognise standard input until it ends or Ctrl-C.

    Args:
        recognizer: the model.
        options: for `Recognizer.stream`.
        show: print the text on standard output as it grows, and a line end after it.

    Returns:
        The transcript, and whether Ctrl-C ended it.

    Raises:
        AudioError: standard input is a terminal, an audio file instead of raw samples, or empty.
    """
    if sys.stdin.isatty():
        raise AudioError(f"standard input is the keyboard. Send it 16-bit 16 kHz mono PCM, as in: {_EXAMPLE}")
    head = sys.stdin.buffer.peek(4) if hasattr(sys.stdin.buffer, "peek") else b""
    if head.startswith(_FILE_HEADS):
        raise AudioError(f"standard input is an audio file; '-' takes raw PCM. Give its name, or: {_EXAMPLE}")
    text = _GrowingText(show)
    source = _Interruptible()
    heard = 0
    with recognizer.stream(**options) as stream, source:
        for block in source.blocks():
            heard += len(block)
            text.add(stream.accept(block))
        if not heard:
            raise AudioError(f"standard input is empty: 0 samples. Send it 16-bit 16 kHz mono PCM, as in: {_EXAMPLE}")
        events = stream.finish()
        text.add(events)
    final = events[-1]
    assert isinstance(final, Final)
    text.end()
    return final.transcript, source.interrupted


class _GrowingText:
    """Prints what is new of a text that only grows."""

    def __init__(self, show: bool) -> None:
        self._show = show
        self._shown = ""

    def add(self, events: list[Event]) -> None:
        for event in events:
            self._print(event.transcript.text if isinstance(event, Final) else event.text)

    def end(self) -> None:
        if self._show:
            sys.stdout.write("\n")
            sys.stdout.flush()

    def _print(self, text: str) -> None:
        if not self._show or text == self._shown:
            return
        # Should a text ever not continue what is on the screen, it starts a new line.
        new = text[len(self._shown) :] if text.startswith(self._shown) else "\n" + text
        sys.stdout.write(new)
        sys.stdout.flush()
        self._shown = text


class _Interruptible:
    """Standard input, ended by Ctrl-C between two blocks: never in the middle of the recogniser's work."""

    def __init__(self) -> None:
        self.interrupted = False
        self._waiting = False

    def __enter__(self) -> "_Interruptible":
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def blocks(self) -> Iterator[Samples]:
        """Give the samples that came, until the end or Ctrl-C."""
        pieces = pcm_blocks(sys.stdin.buffer)
        while not self.interrupted:
            try:
                self._waiting = True
                block = next(pieces, None)
                self._waiting = False
            except KeyboardInterrupt:
                return
            if block is None:
                return
            yield block

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self.interrupted:  # asked twice: at once
            raise KeyboardInterrupt
        self.interrupted = True
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt
