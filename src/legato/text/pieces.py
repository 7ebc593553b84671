"""From SentencePiece pieces to text."""

import codecs
import re
from collections.abc import Iterable

SPACE = "\u2581"
_BYTE = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")
_CONTROL = frozenset({"<s>", "</s>", "<pad>", "<blank>"})
_UNKNOWN = "<unk>"


def decode(pieces: Iterable[str]) -> str:
    """Join pieces as SentencePiece does.

    Byte pieces become UTF-8. A byte that is not part of a character becomes U+FFFD, an unknown piece U+2047. Bytes at
    the end that may still become a character are left out.
    """
    return _join(pieces).strip()


def piece_bytes(piece: str) -> bytes:
    """Return the UTF-8 of one piece, with spaces for U+2581; of a byte piece, its byte."""
    if piece in _CONTROL:
        return b""
    if match := _BYTE.match(piece):
        return bytes([int(match[1], 16)])
    return (" \u2047 " if piece == _UNKNOWN else piece.replace(SPACE, " ")).encode()


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
        if piece.startswith(SPACE):
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
