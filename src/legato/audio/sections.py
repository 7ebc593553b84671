"""Files that hold several recordings in a row, or more audio than their header states.

FFmpeg reads such files only up to the first border. A `Section` is a part that it reads to its end.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from legato.audio.containers import WAV_HEADS, aiff_ends, is_mp4, mp4_starts, ogg_links, wav_layouts

_MOST_BYTES = 1 << 43
"""The farthest position: file systems refuse to seek beyond their largest file."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a file that is a container of its own.

    Attributes:
        start, end: in bytes.
        options: for FFmpeg's reader of the container.
        unstated: whether the container holds more audio than its header states, and all of it is read.
        left: bytes after the last container that are not read.
    """

    start: int
    end: int
    options: Mapping[str, str] = field(default_factory=dict)
    unstated: bool = False
    left: int = 0


class SectionFile(io.RawIOBase):
    """A part of a seekable file as a file; several may share one file. Closing it leaves the file open.

    Seeking never fails: damaged files send FFmpeg to impossible positions, and PyAV prints such errors.

    Args:
        start: first byte of the part.
        end: the byte after its last; None is the end of the file, even while the file grows.
    """

    def __init__(self, file: BinaryIO, start: int = 0, end: int | None = None) -> None:
        super().__init__()
        name = getattr(file, "name", None)
        if isinstance(name, str):  # FFmpeg recognizes formats without a header by the ending of the name
            self.name = name
        self._file = file
        self._start = start
        self._end = end
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes from the start of the part."""
        return self._position

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position relative to the start (0), the current position (1) or the end (2) of the part."""
        if whence == 2:
            offset += (self._file.seek(0, 2) if self._end is None else self._end) - self._start
        elif whence == 1:
            offset += self._position
        self._position = min(max(0, offset), _MOST_BYTES)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; none at the end of the part."""
        self._file.seek(self._start + self._position)
        if self._end is not None:
            left = max(0, self._end - self._start - self._position)
            size = left if size < 0 else min(size, left)
        data = self._file.read(size)
        self._position += len(data)
        return data


def as_file(file: BinaryIO, start: int = 0, end: int | None = None) -> BinaryIO:
    """Return a part of a seekable file as a file of its own."""
    return cast("BinaryIO", SectionFile(file, start, end))


def sections_of(file: BinaryIO) -> list[Section]:
    """Return the parts of a seekable file, in order; usually one, the whole file."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    sections: list[Section] = []
    if head[:4] == b"OggS":
        starts = ogg_links(file, size)
        sections = [Section(start, end) for start, end in zip(starts, [*starts[1:], size], strict=True)]
    elif head[:4] in WAV_HEADS or head[:3] == b"ID3":
        sections = [
            Section(each.start, each.end, {"ignore_length": "1"} if each.unstated else {}, unstated=each.unstated)
            for each in wav_layouts(file, size)
        ]
    elif is_mp4(head):
        starts = mp4_starts(file, size)
        sections = [Section(start, end) for start, end in zip(starts, [*starts[1:], size], strict=True)]
    elif head[:4] == b"FORM" and (ends := aiff_ends(file, size)):
        starts = [0, *ends[:-1]]
        sections = [Section(start, end, left=size - end) for start, end in zip(starts, ends, strict=True)]
    file.seek(0)
    return sections or [Section(0, size)]
