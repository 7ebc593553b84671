"""From tokens to text and words."""

import codecs
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from legato.transcript import Token, Word

SPACE = "\u2581"
_BYTE = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")
_CONTROL = frozenset({"<s>", "</s>", "<pad>", "<blank>"})
_UNKNOWN = "<unk>"
#: First words of the Unicode names of scripts that are written without spaces between words.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


def decode(pieces: Iterable[str]) -> str:
    """Join SentencePiece pieces as SentencePiece does.

    Byte pieces become UTF-8, every byte that fits nowhere U+FFFD, unknown U+2047. Bytes at the end that may still
    become a character are left out until the rest comes.
    """
    return _join(pieces).strip()


def _join(pieces: Iterable[str], *, complete: bool = False) -> str:
    data = bytearray()
    for piece in pieces:
        if piece in _CONTROL:
            continue
        if match := _BYTE.match(piece):
            data.append(int(match[1], 16))
        else:
            data += (" \u2047 " if piece == _UNKNOWN else piece.replace(SPACE, " ")).encode()
    return codecs.getincrementaldecoder("utf-8")(_REPLACE_EACH).decode(bytes(data), complete)


def _replace_each(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


_REPLACE_EACH = "legato.replace_each"
codecs.register_error(_REPLACE_EACH, _replace_each)


class TextBuilder:
    """The text of a growing list of pieces, at a cost that does not grow with the pieces before the last word."""

    def __init__(self) -> None:
        self._settled = ""
        self._open: list[str] = []

    def add(self, piece: str) -> None:
        """Append one piece. A leading space ends the word before it, which cannot change any more."""
        if piece.startswith(SPACE):
            self._settled += _join(self._open, complete=True)
            self._open = []
        self._open.append(piece)

    @property
    def text(self) -> str:
        """The same as `decode` of all pieces."""
        return (self._settled + _join(self._open)).strip()


@dataclass
class _Open:
    """A word that may still grow."""

    pieces: list[str]
    start: float
    end: float


def split_words(tokens: Sequence[Token], frame_seconds: float) -> tuple[Word, ...]:
    """Group tokens into words with times. Language tags must not be among the tokens.

    A word starts at a piece with a leading space, in the middle of a piece that holds several words, and, in scripts
    without spaces, at every token; punctuation stays with the word before it.
    """
    words: list[_Open] = []
    for token in tokens:
        end = token.time + frame_seconds
        for number, part in enumerate(_parts(token.piece)):
            if words and not (number or _starts_word(part, words[-1].pieces[-1])):
                words[-1].pieces.append(part)
                words[-1].end = end
            else:
                words.append(_Open([part], token.time, end))
    decoded = ((decode(word.pieces), word) for word in words)
    return tuple(Word(text, round(word.start, 3), round(word.end, 3)) for text, word in decoded if text)


def _parts(piece: str) -> list[str]:
    """`▁vingt▁et▁un` -> `▁vingt`, `▁et`, `▁un`."""
    return [part for part in re.split(f"(?={SPACE})", piece) if part]


def _starts_word(piece: str, previous: str) -> bool:
    if piece.startswith(SPACE) or piece == _UNKNOWN:
        return True
    return (is_unspaced(piece[0]) or is_unspaced(previous[-1])) and not unicodedata.category(piece[0]).startswith("P")


def is_unspaced(character: str) -> bool:
    """Whether a character belongs to a script that is written without spaces between words."""
    return unicodedata.name(character, "").startswith(_UNSPACED)
