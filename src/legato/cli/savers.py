"""The files that `legato listen` writes. They are complete at every moment, whatever ends the process."""

import os
import struct
import time
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from legato.audio.resample import SAMPLE_RATE
from legato.cli.console import cannot_write
from legato.cli.files import format_of, write_result
from legato.errors import LegatoError
from legato.files import check_replaceable
from legato.streaming.collect import Collector
from legato.streaming.stream import Stream
from legato.text.growing import GrowingLines
from legato.types import Event, Samples, Transcript

_REWRITE_SECONDS = 5.0


class Saver:
    """Receives the audio, the events and the end, and writes what it is interested in.

    Raises:
        LegatoError: the file exists, or cannot be made.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self._path = path
        try:
            if overwrite:  # a new file takes the place of the old one, or of a link, which is not followed
                check_replaceable(path)
                path.unlink(missing_ok=True)
            # Without a buffer: every write reaches the system.
            self._file: BinaryIO = path.open("xb", buffering=0)
        except FileExistsError:
            raise LegatoError(f"{path} is there already. Give another name, or --overwrite.") from None
        except OSError as error:
            raise cannot_write(path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add_audio(self, samples: Samples) -> None:
        """Take samples: float32[n], 16 kHz. Raises OutputError."""

    def add(self, events: list[Event], stream: Stream) -> None:
        """Take events of the stream. Raises OutputError."""

    def finish(self, transcript: Transcript) -> None:
        """Take the end of the stream. Raises OutputError."""

    def _write(self, data: bytes, at: int | None = None) -> None:
        """Write all of the data, at the end or at a position."""
        rest = memoryview(data)
        try:
            if at is not None:
                self._file.seek(at)
            while rest:  # a disk that becomes full takes a part, and refuses the next write
                rest = rest[self._file.write(rest) :]
            if at is not None:
                self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise cannot_write(self._path, error) from None


class AudioSaver(Saver):
    """Writes a WAV file, 16-bit mono at 16 kHz, whose header is correct after every block."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        super().__init__(path, overwrite=overwrite)
        self._bytes = 0
        self._write(self._header())

    def add_audio(self, samples: Samples) -> None:
        """Append samples, then rewrite the header that counts them."""
        data = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        self._write(data)
        self._bytes += len(data)
        self._write(self._header(), at=0)

    def _header(self) -> bytes:
        size = min(self._bytes, 2**32 - 40)  # longer than 37 hours: readers continue to the end of the file
        form = struct.pack("<HHIIHH", 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
        return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt \x10\0\0\0" + form + b"data" + struct.pack("<I", size)


class TextSaver(Saver):
    """Writes plain text that grows with every event."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        super().__init__(path, overwrite=overwrite)
        self._lines = GrowingLines()

    def add(self, events: list[Event], stream: Stream) -> None:
        """Append the new text."""
        self._write(self._lines.add(events).encode())

    def finish(self, transcript: Transcript) -> None:
        """End the last line."""
        self._write(self._lines.end().encode())


class TranscriptSaver(Saver):
    """Rewrites a transcript in another format every few seconds.

    Args:
        kind: a key of `WRITERS`.
        model: name of the model, for the formats that state it.
        name: name of the audio, likewise.
    """

    def __init__(self, path: Path, kind: str, *, model: str, name: str, overwrite: bool) -> None:
        super().__init__(path, overwrite=overwrite)
        self._file.close()
        self._kind, self._model, self._name = kind, model, name
        self._collector = Collector()
        self._due = 0.0

    def add(self, events: list[Event], stream: Stream) -> None:
        """Keep the segments, and rewrite the file if it is time."""
        self._collector.add(events)
        if events and time.monotonic() >= self._due:
            self._rewrite(stream.transcript)

    def finish(self, transcript: Transcript) -> None:
        """Write the whole transcript."""
        self._rewrite(transcript)

    def _rewrite(self, rest: Transcript) -> None:
        transcript = self._collector.with_rest(rest)
        write_result(self._path, transcript, self._kind, name=self._name, model=self._model)
        self._due = time.monotonic() + _REWRITE_SECONDS


def open_savers(
    stack: ExitStack, audio: Path | None, transcript: Path | None, *, model: str, name: str, overwrite: bool
) -> list[Saver]:
    """Open the files for audio and text that were asked for; the stack closes them.

    Args:
        stack: closes the files.
        audio: WAV file.
        transcript: its ending names the format, as in `WRITERS`; without one it is plain text.

    Raises:
        LegatoError: a file exists, or cannot be made.
    """
    savers: list[Saver] = []
    if audio is not None:
        savers.append(stack.enter_context(AudioSaver(audio, overwrite=overwrite)))
    if transcript is not None:
        kind = format_of(transcript)
        saver = (
            TextSaver(transcript, overwrite=overwrite)
            if kind in {"", "txt"}
            else TranscriptSaver(transcript, kind, model=model, name=name, overwrite=overwrite)
        )
        savers.append(stack.enter_context(saver))
    return savers
