"""Distinguish audio files from raw PCM by their first bytes, as far as a pipe has delivered them."""

from collections.abc import Callable

from legato.audio.containers import has_tag_before_wav, is_mp4

MOST_BYTES = 8192
"""Bytes after which every file is recognized."""

_MAGIC = (
    b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b".snd", b"fLaC", b"OggS", b"ID3", b"#!AMR", b"caff", b"FLV\x01",
    b"wvpk", b"MAC ", b"TTA1", b"TTA2", b"riff\x2e\x91\xcf\x11", b"\x1aE\xdf\xa3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"\x00\x00\x01\xba", b"\x06\x0e\x2b\x34", b".RMF", b"MPCK", b"MP+", b"DSD ", b"FRM8", b"Creative Voice", b"NIST_1A",
    b"tBaK", b"ADIF", b"nut/multimedia", b"\x7f\xfe\x80\x01", b"#EXTM3U",
)  # fmt: skip
_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""Types of the first box of MP4 and QuickTime files, after its size of four bytes."""

_COMPRESSED = {
    b"\x1aE\xdf\xa3": "WebM or Matroska", b"OggS": "Ogg", b"fLaC": "FLAC", b"ID3\x03": "MP3", b"ID3\x04": "MP3",
}  # fmt: skip
"""Names of containers that live audio is sent in by mistake; their first bytes hardly ever begin raw audio."""

_MPEG_RATES = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),  # MPEG-1, layer I
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),  # MPEG-2 and 2.5
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_AC3_RATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


def is_file(head: bytes, *, ended: bool = False) -> bool | None:
    """Return whether audio that starts with these bytes is a file and not raw PCM.

    Args:
        head: the first bytes.
        ended: nothing follows them.

    Returns:
        None when more bytes are needed.
    """
    if head.startswith(_MAGIC) or head[4:8] in _BOXES:
        return True
    answers = [_repeats(head, each, ended) for each in (_adts_bytes, _mpeg_bytes, _ac3_bytes, _ts_bytes, _m2ts_bytes)]
    if True in answers:
        return True
    short = any(each.startswith(head) for each in _MAGIC) or len(head) < 8
    if not ended and (None in answers or short):
        return None
    return False


def compressed_container(head: bytes) -> str | None:
    """Return the name of the common container of compressed audio that starts with these bytes; None for others."""
    if is_mp4(head):
        return "MP4 or M4A"
    return next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)


def needs_seeking(head: bytes) -> bool:
    """Return whether a file that starts with these bytes can be read only from a disk, and not from a pipe."""
    if head.startswith((b"caff", b"wvpk", b"RIFX")) or has_tag_before_wav(head):
        return True
    position = 0
    while head[4:8] in _BOXES and (kind := head[position + 4 : position + 8]):
        if kind in {b"moov", b"moof"}:
            return False
        length = int.from_bytes(head[position : position + 4], "big")
        if kind == b"mdat" or length < 8:
            return True
        position += length
    return False


def _repeats(head: bytes, frame_bytes: Callable[[bytes], int], ended: bool) -> bool | None:
    """Return whether three frames follow each other, each of the length that its header states."""
    position = 0
    for count in range(3):
        frame = head[position : position + 8]
        if len(frame) < 8:
            return count > 1 if ended else None
        length = frame_bytes(frame)
        if not length:
            return False
        position += length
    return True


def _adts_bytes(head: bytes) -> int:
    if head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5


def _mpeg_bytes(head: bytes) -> int:
    version, layer, rate, frequency = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    if head[0] != 0xFF or head[1] < 0xE0 or version == 1 or not layer or rate in {0, 15} or frequency == 3:
        return 0
    bits = _MPEG_RATES[3 if version == 3 else 2, layer][rate - 1] * 1000
    hertz = (44100, 48000, 32000)[frequency] // {3: 1, 2: 2, 0: 4}[version]
    padding = head[2] >> 1 & 1
    if layer == 3:
        return (12 * bits // hertz + padding) * 4
    return (72 if layer == 1 and version != 3 else 144) * bits // hertz + padding


def _ac3_bytes(head: bytes) -> int:
    if head[:2] != b"\x0b\x77":
        return 0
    if head[5] >> 3 > 10:  # E-AC-3
        return (((head[2] & 7) << 8 | head[3]) + 1) * 2
    frequency, code = head[4] >> 6, head[4] & 63
    if frequency == 3 or code > 37:
        return 0
    rate = _AC3_RATES[code >> 1]
    return (rate * 4, rate * 1000 * 96 // 44100 * 2 + 2 * (code & 1), rate * 6)[frequency]


def _ts_bytes(head: bytes) -> int:
    return 188 if head[0] == 0x47 else 0


def _m2ts_bytes(head: bytes) -> int:
    return 192 if head[4] == 0x47 else 0
