"""From SentencePiece pieces to text."""

import codecs
import re
from collections.abc import Iterable

SPACE = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPECIAL = re.compile(r"<[^<>]+>|\u2047")


def decode(pieces: Iterable[str]) -> str:
    """Join pieces as SentencePiece does.

    Byte pieces become UTF-8. A byte that is not part of a character becomes U+FFFD. Bytes at the end that may
    still become a character are left out, and so are special pieces such as `<unk>`.
    """
    return _join(pieces).strip()


def piece_bytes(piece: str) -> bytes:
    """Return the UTF-8 of one piece, with spaces for U+2581; of a byte piece, its byte; of a special piece, nothing."""
    if (byte := byte_of(piece)) is not None:
        return bytes([byte])
    return b"" if is_special(piece) else piece.replace(SPACE, " ").encode()


def byte_of(piece: str) -> int | None:
    """Return the byte that a byte piece such as `<0xE4>` stands for; None for other pieces."""
    match = _BYTE.fullmatch(piece)
    return int(match[1], 16) if match else None


def is_special(piece: str) -> bool:
    """Return whether a piece stands for no text: `<unk>`, `<s>`, a language tag, any other name in angle brackets.

    So does U+2047, as which SentencePiece shows unknown pieces. Spaces around the name do not matter.
    """
    return _SPECIAL.fullmatch(piece.strip(SPACE + " ")) is not None and byte_of(piece) is None


def utf8_decoder() -> codecs.IncrementalDecoder:
    """Return a decoder that makes U+FFFD of every byte that is not part of a character."""
    return codecs.getincrementaldecoder("utf-8")(_REPLACE_EACH)


class TextBuilder:
    """The text of a growing list of pieces. The cost of a new piece depends on the last word only."""

    def __init__(self) -> None:
        self._settled = ""
        self._open: list[str] = []

    def add(self, piece: str) -> None:
        """Append one piece. A leading space ends the word before it, which can no longer change."""
        if piece.startswith(SPACE) and not is_special(piece):
            self._settled += _join(self._open, complete=True)
            self._open = []
        self._open.append(piece)

    @property
    def text(self) -> str:
        """The same as `decode` of all pieces."""
        return (self._settled + _join(self._open)).strip()


def _join(pieces: Iterable[str], *, complete: bool = False) -> str:
    return utf8_decoder().decode(b"".join(map(piece_bytes, pieces)), complete)


def _replace_each(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


_REPLACE_EACH = "legato.replace_each"
codecs.register_error(_REPLACE_EACH, _replace_each)
