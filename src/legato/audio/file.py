"""An audio or video file that is open for reading."""

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from legato.audio import ffmpeg
from legato.audio.decode import DecodedAudio
from legato.audio.promise import shortfall
from legato.audio.sections import Section, as_file, sections_of
from legato.audio.timeline import Timeline
from legato.audio.track_decoder import Decoder, Frame, reason_of
from legato.errors import AudioError

_LEFT_BYTES = 1 << 16
"""Bytes after the last container of a file that may be metadata."""

_LOST_SECONDS = 0.05
"""Silence between frames of a FLAC file, which has no gaps, that shows damage."""


class AudioFile(DecodedAudio):
    """An open audio file. Iterate it once for its audio; use `with` to close it.

    Args:
        file: a binary file at its start, or a pipe.
        name: what messages call it.
        channel: the only channel to read, counted from 0; None averages all channels.
        track: number or language of the audio track; None is the container's default.
        owned: whether the file is closed with this object.

    Raises:
        AudioError: not audio, without an audio track, empty, or without such a track or channel.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        channel: int | None = None,
        track: int | str | None = None,
        *,
        owned: bool = True,
    ) -> None:
        self._file = file
        self._owned = owned
        self._chosen = (channel, track)
        try:
            self._before = _fingerprint(file)
            if _is_empty(file):
                raise AudioError(f"{name}: the file is empty (0 bytes). Record or export it again.")
            self._sections = sections_of(file) if file.seekable() else []
            decoder, self._part = self._open(self._sections[0] if self._sections else None, name)
        except BaseException as error:
            if owned:
                file.close()
            if isinstance(error, OSError):
                raise AudioError(f"{name}: cannot be read ({reason_of(error)}). Check the disk.") from None
            raise
        super().__init__(decoder, name)
        if len(self._sections) > 1 or not file.seekable() or any(each.unstated for each in self._sections):
            self.duration = None

    def close(self) -> None:
        """Close the file. Closing it again does nothing."""
        super().close()
        if self._owned:
            self._file.close()

    def _open(self, section: Section | None, name: str) -> tuple[Decoder, BinaryIO]:
        """Open a section of the file, or all of it."""
        if section is None:
            return ffmpeg.open_file(self._file, name, *self._chosen), self._file
        whole = len(self._sections) == 1 and not section.left
        part = as_file(self._file, section.start, None if whole else section.end)
        return ffmpeg.open_file(part, name, *self._chosen, section.options), part

    def _frames(self) -> Iterator[Frame]:
        yield from super()._frames()
        if not self._sections:
            return
        for section in self._sections[1:]:
            self._check_section()
            self._decoder.close()
            try:
                self._decoder, self._part = self._open(section, self.name)
            except AudioError as error:
                self._fault(f"a joined recording at {self._end:.2f} s cannot be read: {error}")
                continue
            self._timeline = Timeline(self._decoder.origin)
            yield from super()._frames()

    def _compare(self) -> None:
        if self._sections:
            self._check_section()
        if any(section.unstated for section in self._sections):
            self.warnings.append(
                f"its header states less audio than the file holds; all {self._end:.2f} s of it were read"
            )
        left = self._sections[-1].left if self._sections else 0
        if left > _LEFT_BYTES and self._decoder.byte_rate:
            seconds = left / self._decoder.byte_rate
            self._fault(f"its header states less audio than the file holds: {seconds:.2f} s at its end were not read")
        after = _fingerprint(self._file)
        if after != self._before:
            self.changed = True
            how = f"{self._before[0]} bytes before, {after[0]} after"
            self._fault(f"the file changed while it was read ({how}): transcribe it again when it is complete")

    def _check_section(self) -> None:
        """Warn when the section that was read last holds less than it states."""
        warning = shortfall(self._decoder, self._part, self._timeline.end)
        if warning is None and self._gaps > _LOST_SECONDS and "flac" in self._decoder.formats:
            warning = f"the file is damaged: {self._decoded:.2f} s of {self._end:.2f} s could be read"
        if warning is not None and self.complete:
            self._fault(warning)
        elif warning is not None and self._decoder.end and self._last_fault is not None:  # the reason is known
            self.warnings[self._last_fault] += f"; {self._decoded:.2f} s of {self._decoder.end:.2f} s could be read"


def _status(file: BinaryIO) -> os.stat_result | None:
    """Return the system's information about a file; None for a file that exists only in Python."""
    with contextlib.suppress(io.UnsupportedOperation, AttributeError):
        return os.fstat(file.fileno())
    return None


def _is_empty(file: BinaryIO) -> bool:
    """Return whether a file that is no pipe holds nothing."""
    status = _status(file)
    if status is not None:
        return status.st_size == 0 and stat.S_ISREG(status.st_mode)
    if not file.seekable():
        return False
    start = file.tell()
    empty = file.seek(0, os.SEEK_END) <= start
    file.seek(start)
    return empty


def _fingerprint(file: BinaryIO) -> tuple[int, int]:
    """Return size and time of the last change of a regular file; zeros for a pipe."""
    status = _status(file)
    return (status.st_size, status.st_mtime_ns) if status is not None and stat.S_ISREG(status.st_mode) else (0, 0)
