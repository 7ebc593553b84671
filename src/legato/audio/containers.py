"""What containers state about their length where FFmpeg does not report it.

Each function reads a seekable binary file, from its first byte, and leaves its position undefined.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

_UNKNOWN_WAV_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF - 36, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36, 0xFFFFFFFF)
"""Data sizes that programs write into a WAV header while they do not know the length."""

_LARGEST_OGG_PAGE = 65307
_FIRST_PAGE_FLAG, _LAST_PAGE_FLAG = 2, 4
_NOISE_BYTES = 1024
"""Bytes after the data of a WAV file that are too few to be audio."""

_ByteOrder = Literal["little", "big"]
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067

WAV_HEADS = frozenset({b"RIFF", b"RIFX", b"RF64", b"BW64"})
"""First bytes of a WAV container."""


def is_mp4(head: bytes) -> bool:
    """Return whether a file that starts with these bytes, at least 8, is MP4 or M4A."""
    return head[4:8] == b"ftyp"


@dataclass(frozen=True, slots=True)
class WavLayout:
    """One RIFF container of a file.

    Attributes:
        start, end: of the container, in bytes.
        missing: bytes of audio that the header promises and the file lacks.
        unstated: whether audio follows the data that the header states, up to `end`.
    """

    start: int
    end: int
    missing: int = 0
    unstated: bool = False


def wav_layouts(file: BinaryIO, size: int) -> list[WavLayout]:
    """Find the WAV containers of a file: RIFF, RIFX, RF64 or BW64, one or several that were joined.

    Returns:
        The containers in order; none for another kind of file.
    """
    layouts: list[WavLayout] = []
    start = _after_id3(file, 0)
    while start < size and (data := _wav_data(file, start, size)) is not None:
        first, length, order = data
        if length is None or first + length >= size:
            layouts.append(WavLayout(start, size, 0 if length is None else first + length - size))
            break
        following = _next_wav(file, first + length, size, order)
        if following is None:
            layouts.append(WavLayout(start, size, unstated=True))
            break
        layouts.append(WavLayout(start, following))
        start = following
    return layouts


def wav_stated_end(head: bytes) -> int | None:
    """Return where the audio of a WAV file ends, as its header states it; None where it states nothing."""
    data = _wav_data(io.BytesIO(head), _after_id3(io.BytesIO(head), 0), 0)
    return None if data is None or data[1] is None else data[0] + data[1]


def has_tag_before_wav(head: bytes) -> bool:
    """Return whether a file that starts with these bytes has ID3 tags before the header of a WAV file."""
    start = _after_id3(io.BytesIO(head), 0)
    return start > 0 and _wav_data(io.BytesIO(head), start, 0) is not None


def is_chunk(head: bytes) -> bool:
    """Return whether bytes of a RIFF file are the start of a chunk and not audio."""
    return all(32 <= byte < 127 for byte in head[:4])


def _wav_data(file: BinaryIO, start: int, size: int) -> tuple[int, int | None, _ByteOrder] | None:
    """Return the first byte of a WAV container's audio, its stated length (None: not known) and the order of bytes.

    Returns None where there is no such container.
    """
    file.seek(start)
    head = file.read(12)
    if head[:4] not in WAV_HEADS or head[8:] != b"WAVE":
        return None
    order: _ByteOrder = "big" if head[:4] == b"RIFX" else "little"
    long_size: int | None = None
    while len(chunk := file.read(8)) == 8:
        length = int.from_bytes(chunk[4:], order)
        if chunk[:4] == b"ds64":
            body = file.read(length)
            long_size = int.from_bytes(body[8:16], "little")
            continue
        if chunk[:4] == b"data":
            first = file.tell()
            if long_size is not None and length == 0xFFFFFFFF:
                return first, long_size, order
            unknown = any(abs(length - each) < 64 for each in _UNKNOWN_WAV_SIZES) and first + length != size
            return first, None if unknown else length, order
        file.seek(length + length % 2, 1)
    return None


def _next_wav(file: BinaryIO, position: int, size: int, order: _ByteOrder) -> int | None:
    """Return where the container ends whose audio ends at `position`; None where audio seems to follow."""
    if size - position <= _NOISE_BYTES:
        return size
    for start in (position, position + 1):  # chunks start at even positions, but not every program obeys
        at = start
        while at < size:
            file.seek(at)
            head = file.read(12)
            if head[8:] == b"WAVE" and head[:4] in WAV_HEADS:
                return at
            if at > start and size - at <= _NOISE_BYTES:
                return size
            if head[:3] in {b"ID3", b"TAG"} or head[:8] == b"APETAGEX":
                return size
            length = int.from_bytes(head[4:8], order)
            if not is_chunk(head) or at + 8 + length > size + 1:
                break
            at += 8 + length + length % 2
        else:
            return size
    return None


def mp4_is_whole(file: BinaryIO) -> bool:
    """Return whether an MP4 file with one index ends where its last box ends; fragments may always be missing."""
    size = file.seek(0, 2)
    position, kinds = 0, set()
    while position + 8 <= size:
        length, kind = _box(file, position)
        kinds.add(kind)
        position = size if length == 0 else position + length
        if 0 < length < 8:
            return False
    return position == size and b"moov" in kinds and b"moof" not in kinds


def _box(file: BinaryIO, position: int) -> tuple[int, bytes]:
    """Return the length and the type of a box of an MP4 file; a length of 0 means up to the end of the file."""
    file.seek(position)
    head = file.read(16)
    length = int.from_bytes(head[:4], "big")
    return int.from_bytes(head[8:16], "big") if length == 1 else length, head[4:8]


def mp4_starts(file: BinaryIO, size: int) -> list[int]:
    """Return the positions at which the MP4 files of a file start: more than one where files were joined."""
    starts, position, indexed = [0], 0, False
    while position + 8 <= size:
        length, kind = _box(file, position)
        if kind == b"ftyp" and indexed:
            starts.append(position)
            indexed = False
        indexed = indexed or kind == b"moov"
        if length < 8:  # 0: up to the end of the file
            break
        position += length
    return starts


def aiff_ends(file: BinaryIO, size: int) -> list[int]:
    """Return the positions at which the AIFF files of a file end, as their headers state them."""
    ends: list[int] = []
    position = 0
    while position + 12 <= size:
        file.seek(position)
        head = file.read(12)
        if head[:4] != b"FORM" or head[8:] not in {b"AIFF", b"AIFC"}:
            break
        length = int.from_bytes(head[4:8], "big")
        position += 8 + length + length % 2
        ends.append(min(position, size))
    return ends


def ogg_links(file: BinaryIO, size: int) -> list[int]:
    """Return the positions at which the links of an Ogg file start: one for each recording that was joined."""
    starts: list[int] = []
    in_head = False
    for position, flags in _ogg_pages(file, size):
        if not flags & _FIRST_PAGE_FLAG:
            in_head = False
        elif not in_head:
            starts.append(position)
            in_head = True
    return [0, *starts[1:]]


def _ogg_pages(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yield the position and the flags of each page."""
    position = 0
    while position + 27 <= size:
        file.seek(position)
        head = file.read(27)
        if head[:4] != b"OggS":
            file.seek(position)
            found = file.read(_LARGEST_OGG_PAGE).find(b"OggS", 1)
            if found < 0 and position + _LARGEST_OGG_PAGE >= size:
                return
            position += found if found >= 0 else _LARGEST_OGG_PAGE - 3
            continue
        yield position, head[5]
        position += 27 + head[26] + sum(file.read(head[26]))


def ogg_is_whole(file: BinaryIO) -> bool:
    """Return whether an Ogg file ends with a complete page, or has other data only after its last page."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 2 * _LARGEST_OGG_PAGE))
    tail = file.read()
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) < last + 27:
        return False
    segments = tail[last + 27 : last + 27 + tail[last + 26]]
    rest = len(tail) - last - 27 - tail[last + 26] - sum(segments)
    return rest == 0 or (rest > 0 and bool(tail[last + 5] & _LAST_PAGE_FLAG))


def mp3_states_length(file: BinaryIO) -> bool:
    """Return whether an MP3 file begins with a frame that counts the others; otherwise its length is an estimate."""
    file.seek(_after_id3(file, 0))
    first = file.read(512)
    return b"Xing" in first or b"Info" in first


def matroska_shortfall(file: BinaryIO) -> int | None:
    """Return the bytes that a Matroska or WebM file lacks; None when its length is not stated."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(4096)
    if int.from_bytes(head[:4], "big") != _EBML:
        return None
    length, after = _ebml_size(head, 4)
    at = after + (length or 0)
    if int.from_bytes(head[at : at + 4], "big") != _SEGMENT:
        return None
    length, after = _ebml_size(head, at + 4)
    return None if length is None else max(0, after + length - size)


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
    """Return a size of EBML and the position after it; None for an unknown size."""
    if at >= len(data) or not data[at]:
        return None, at + 1
    width = 9 - data[at].bit_length()
    bits = 7 * width
    value = int.from_bytes(data[at : at + width], "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value, at + width


def _after_id3(file: BinaryIO, start: int) -> int:
    """Return the position after the ID3v2 tags at a position."""
    while True:
        file.seek(start)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            return start
        length = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        start += 10 + length
