"""What `legato listen` keeps on disk, complete at every moment: whatever ends the process, what was heard is there."""

import os
import struct
import time
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import numpy as np

from legato.audio.source import SAMPLE_RATE, Samples
from legato.cli.output import write_result
from legato.cli.writing import cannot_write
from legato.errors import LegatoError
from legato.streaming.collect import with_segments
from legato.streaming.stream import Stream
from legato.text.formats import WRITERS
from legato.types import Event, Final, Segment, Transcript

_REWRITE_SECONDS = 5.0


class Saver(Protocol):
    """Hears the audio, the events and the end; each may raise OutputError."""

    def hear(self, samples: Samples) -> None:
        """Note samples: float32[n], 16 kHz."""

    def add(self, events: list[Event], stream: Stream) -> None:
        """Note events of the stream."""

    def finish(self, transcript: Transcript) -> None:
        """Note the end."""


class AudioSaver:
    """A WAV file, 16-bit mono at 16 kHz, whose header is right after every block.

    Raises:
        LegatoError: the file is there already, or cannot be made.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self._path = path
        self._bytes = 0
        self._file = _create(path, overwrite)
        try:
            self._file.write(self._header())
        except OSError as error:
            raise cannot_write(path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def hear(self, samples: Samples) -> None:
        """Write samples, then the header that counts them."""
        data = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        try:
            _write_all(self._file, data)
            self._bytes += len(data)
            os.pwrite(self._file.fileno(), self._header(), 0)
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def add(self, events: list[Event], stream: Stream) -> None:
        """Nothing: text is not audio."""

    def finish(self, transcript: Transcript) -> None:
        """Nothing: the file is complete."""

    def _header(self) -> bytes:
        size = min(self._bytes, 2**32 - 40)  # beyond 37 hours readers go on to the end of the file
        form = struct.pack("<HHIIHH", 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
        return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt \x10\0\0\0" + form + b"data" + struct.pack("<I", size)


class TranscriptSaver:
    """The text in a file: plain text grows with every event, another format is rewritten every few seconds.

    Args:
        path: its ending names the format, as in `WRITERS`; any other is plain text.
        model: name of the model, for the formats that tell it.
        name: of the audio, likewise.
        overwrite: replace a file that is there.

    Raises:
        LegatoError: the file is there already, or cannot be made.
    """

    def __init__(self, path: Path, *, model: str, name: str, overwrite: bool) -> None:
        self._path, self._model, self._name = path, model, name
        self._kind = path.suffix.lower().removeprefix(".")
        self._grows = self._kind == "txt" or self._kind not in WRITERS
        self._file = _create(path, overwrite)
        self._written = ""
        self._lines = False
        self._segments: list[Segment] = []
        self._due = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def hear(self, samples: Samples) -> None:
        """Nothing: audio is not text."""

    def add(self, events: list[Event], stream: Stream) -> None:
        """Write what the events bring."""
        if not events:
            return
        if not self._grows:
            self._segments += (event for event in events if isinstance(event, Segment))
            if time.monotonic() >= self._due:
                self._rewrite(with_segments(self._segments, stream.transcript))
            return
        for event in events:
            self._append(event.transcript.text if isinstance(event, Final) else event.text)
            if isinstance(event, Segment) and event.text:
                self._end_line()

    def finish(self, transcript: Transcript) -> None:
        """Write the end."""
        if self._grows:
            self._append(transcript.text)
            if self._written or not self._lines:
                self._end_line()
        else:
            self._rewrite(with_segments(self._segments, transcript))

    def _end_line(self) -> None:
        self._put("\n")
        self._written, self._lines = "", True

    def _append(self, text: str) -> None:
        # Should a text ever not continue what is written, it starts a new line.
        self._put(text[len(self._written) :] if text.startswith(self._written) else "\n" + text)
        self._written = text

    def _put(self, text: str) -> None:
        try:
            _write_all(self._file, text.encode())
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def _rewrite(self, transcript: Transcript) -> None:
        write_result(self._path, transcript, self._kind, name=self._name, model=self._model)
        self._due = time.monotonic() + _REWRITE_SECONDS


def _create(path: Path, overwrite: bool) -> BinaryIO:
    """Make a file whose writes go to the system at once."""
    try:
        return path.open("wb" if overwrite else "xb", buffering=0)
    except FileExistsError:
        raise LegatoError(f"{path} is there already. Give another name, or --overwrite.") from None
    except OSError as error:
        raise cannot_write(path, error) from None


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of it: on a disk that becomes full the system takes a part, and refuses at the next write."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
