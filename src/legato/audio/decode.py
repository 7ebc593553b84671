"""An open audio file or address, decoded block by block: memory does not grow with the length of the audio."""

import io
import os
import stat
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from legato.audio import ffmpeg
from legato.audio.addresses import without_password
from legato.audio.arrays import refuse_not_finite
from legato.audio.containers import mp3_states_length, ogg_is_ended, wav_shortfall
from legato.audio.resample import SAMPLE_RATE, Resampler, Samples
from legato.errors import AudioError

_BLOCK_SECONDS = 10
_COUNTED = {"w64", "aiff", "au", "caf", "flac"}
"""Containers that count their samples."""

_TIMED = {"mov", "matroska"}
"""Containers that state their duration, though not to the sample."""


class AudioFile:
    """An open audio file. Iterate it once for its audio: float32[n] blocks, mono, 16 kHz, n <= 10 seconds.

    Use `open_audio` to make one, and `with` to close it.

    Args:
        file: a binary file at its start; it is closed with this object.
        name: what messages call it.
        channel: the only channel to read, counted from 0; None averages all channels.

    Attributes:
        name: the path or address, for messages.
        duration: seconds that the container states; None where it states none.
        channels: number of channels of its audio.
        warnings: one text for each fault of the file that did not stop the reader. Complete after the iteration.
        changed: whether the file was altered while it was read. Known after the iteration.
        block_seconds: length of the blocks; may be set before the iteration.
    """

    changed = False
    block_seconds: float = _BLOCK_SECONDS
    duration: float | None

    def __init__(self, file: BinaryIO, name: str, channel: int | None = None) -> None:
        self.name = name
        self._file = file
        self._before = _fingerprint(file)
        try:
            self._refuse_empty()
            self._decoder = ffmpeg.open_file(file, name, channel)
        except BaseException:
            file.close()
            raise
        self.channels = self._decoder.channels
        self.warnings = self._decoder.warnings
        self.duration = self._decoder.duration if file.seekable() else None
        self._end = 0.0  # of the last frame, in the file's own time

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing it again does nothing."""
        self._decoder.close()
        self._file.close()

    def __iter__(self) -> Iterator[Samples]:
        """Decode the file.

        Yields:
            float32[n], n <= 160000 (16000 times `block_seconds`); all blocks but the last have that length.

        Raises:
            AudioError: nothing could be decoded, or a sample is NaN or infinite.
        """
        block = np.empty(round(self.block_seconds * SAMPLE_RATE), np.float32)
        filled = read = 0
        for piece in self._resampled():
            refuse_not_finite(piece, self.name, offset=read)
            read += len(piece)
            while len(piece):
                taken = min(len(block) - filled, len(piece))
                block[filled : filled + taken] = piece[:taken]
                filled += taken
                piece = piece[taken:]  # noqa: PLW2901
                if filled == len(block):
                    yield block.copy()
                    filled = 0
        if filled:
            yield block[:filled].copy()
        if not read:
            damage = f" ({self.warnings[0]})" if self.warnings else ""
            raise AudioError(f"{self.name}: its audio is empty: 0 samples{damage}. Record or export it again.")
        self._compare_with_header(read / SAMPLE_RATE)
        self._compare_with_before()

    def _refuse_empty(self) -> None:
        status = _status(self._file)
        if status is not None and status.st_size == 0 and stat.S_ISREG(status.st_mode):
            raise AudioError(f"{self.name}: the file is empty (0 bytes). Record or export it again.")

    def _resampled(self) -> Iterator[Samples]:
        resampler = Resampler(SAMPLE_RATE)
        for frame in self._decoder.frames():
            self._end = frame.start + len(frame.samples) / frame.rate
            if frame.rate != resampler.rate:
                yield resampler.finish()
                resampler = Resampler(frame.rate, self.name)
            yield resampler.process(frame.samples)
        yield resampler.finish()

    def _compare_with_header(self, read: float) -> None:
        """Warn when the file holds less than its header promises.

        Args:
            read: seconds that were decoded.
        """
        declared, tolerance = self._promise(read)
        if read >= declared - tolerance:
            return
        if self.warnings:
            self.warnings[-1] += f"; {read:.2f} s of {declared:.2f} s could be read"
        elif self._end > read + tolerance:
            self.warnings.append(f"the file is damaged: {read:.2f} s of {declared:.2f} s could be read")
        else:
            self.warnings.append(f"the file is cut off at {read:.2f} s; its header says {declared:.2f} s")

    def _compare_with_before(self) -> None:
        """Warn when the file was altered since it was opened."""
        after = _fingerprint(self._file)
        if after != self._before:
            self.changed = True
            how = f"{self._before[0]} bytes before, {after[0]} after"
            self.warnings.append(f"the file changed while it was read ({how}): transcribe it again when it is complete")

    def _promise(self, read: float) -> tuple[float, float]:
        """Return the seconds that the file promises, and the tolerance of that promise."""
        if not self._file.seekable():
            return read, 0.0
        names = self._decoder.formats
        if "wav" in names:
            rate = self._decoder.byte_rate
            return read + (wav_shortfall(self._file) / rate if rate else 0), 0.01
        if "ogg" in names and not ogg_is_ended(self._file) and not self.warnings:
            self.warnings.append(f"the file breaks off at {read:.2f} s: its last part is missing")
        if self.duration is None:
            return read, 0.0
        if names & _COUNTED:
            return self.duration, 0.05
        if names & _TIMED or ("mp3" in names and mp3_states_length(self._file)):
            return self.duration, max(0.5, 0.01 * self.duration)
        return read, 0.0


class AudioUrl(AudioFile):
    """Audio from a network address. What arrives before a connection breaks is returned, with a warning."""

    def __init__(self, url: str, channel: int | None = None) -> None:
        self.name = without_password(url)
        self._decoder = ffmpeg.open_url(url, self.name, channel)
        self.channels = self._decoder.channels
        self.warnings = self._decoder.warnings
        self.duration = self._decoder.duration
        self._end = 0.0

    def close(self) -> None:
        """Close the connection. Closing it again does nothing."""
        self._decoder.close()

    def _compare_with_header(self, read: float) -> None:
        """Warn when much less arrived than was promised: the connection may have ended."""
        if not self.warnings and self.duration is not None and read < self.duration - max(0.5, 0.01 * self.duration):
            self.warnings.append(f"it breaks off at {read:.2f} s; its header says {self.duration:.2f} s")

    def _compare_with_before(self) -> None:
        pass


def _status(file: BinaryIO) -> os.stat_result | None:
    """Return the system's information about a file; None for a file that exists only in Python."""
    try:
        return os.fstat(file.fileno())
    except io.UnsupportedOperation:
        return None


def _fingerprint(file: BinaryIO) -> tuple[int, int]:
    """Return size and time of the last change of a regular file; zeros for a pipe."""
    status = _status(file)
    return (status.st_size, status.st_mtime_ns) if status is not None and stat.S_ISREG(status.st_mode) else (0, 0)
