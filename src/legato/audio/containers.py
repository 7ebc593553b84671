"""What containers state about their length where FFmpeg does not report it.

Each function reads a seekable binary file and restores its position.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

_UNKNOWN_WAV_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF - 36, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36, 0xFFFFFFFF)
"""Data sizes that programs write into a WAV header while they do not know the length."""

_LARGEST_OGG_PAGE = 65307
_LAST_PAGE_FLAG = 4


def wav_shortfall(file: BinaryIO) -> int:
    """Return the bytes of audio that a WAV header promises and the file lacks; 0 when none or not known."""
    with _from_start(file) as size:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                unknown = any(abs(length - each) < 64 for each in _UNKNOWN_WAV_SIZES)
                return 0 if unknown else max(0, length - (size - file.tell()))
            file.seek(length + length % 2, 1)
        return 0


def ogg_is_ended(file: BinaryIO) -> bool:
    """Return whether the last page of an Ogg file is marked as the end of its stream."""
    with _from_start(file) as size:
        file.seek(max(0, size - _LARGEST_OGG_PAGE))
        tail = file.read()
    last = tail.rfind(b"OggS")
    return last >= 0 and len(tail) > last + 5 and bool(tail[last + 5] & _LAST_PAGE_FLAG)


def mp3_states_length(file: BinaryIO) -> bool:
    """Return whether an MP3 file begins with a frame that counts the others; otherwise its length is an estimate."""
    with _from_start(file):
        head = file.read(10)
        skip = 0
        if head[:3] == b"ID3" and len(head) == 10:
            skip = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        file.seek(skip)
        first = file.read(512)
    return b"Xing" in first or b"Info" in first


@contextmanager
def _from_start(file: BinaryIO) -> Iterator[int]:
    """Go to the start of the file, yield its size in bytes, and restore the position afterwards."""
    position = file.tell()
    size = file.seek(0, 2)
    file.seek(0)
    try:
        yield size
    finally:
        file.seek(position)
