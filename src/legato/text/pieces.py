"""From tokens to text and words."""

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from legato.types import Confidence, Token, Word

SPACE = "\u2581"
_BYTE = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")
_CONTROL = frozenset({"<s>", "</s>", "<pad>", "<blank>"})
_UNKNOWN = "<unk>"
_CONFIDENCE = Confidence()
_OPENING = ("Ps", "Pi")
_JOINERS = "\u200c\u200d"
#: First words of the Unicode names of scripts that are written without spaces between words.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


def decode(pieces: Iterable[str]) -> str:
    """Join SentencePiece pieces as SentencePiece does.

    Byte pieces become UTF-8, every byte that fits nowhere U+FFFD, unknown U+2047. Bytes at the end that may still
    become a character are left out until the rest comes.
    """
    return _join(pieces).strip()


def _join(pieces: Iterable[str], *, complete: bool = False) -> str:
    data = b"".join(map(_bytes, pieces))
    return codecs.getincrementaldecoder("utf-8")(_REPLACE_EACH).decode(data, complete)


def _bytes(piece: str) -> bytes:
    if piece in _CONTROL:
        return b""
    if match := _BYTE.match(piece):
        return bytes([int(match[1], 16)])
    return (" \u2047 " if piece == _UNKNOWN else piece.replace(SPACE, " ")).encode()


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


@dataclass(slots=True)
class _Character:
    """A character of the text and the tokens, first and last, that spelled it."""

    text: str
    first: int
    last: int


def join_texts(texts: Iterable[str]) -> str:
    """Join texts that were spoken one after the other: with a space, unless the script has none."""
    joined = ""
    for text in texts:
        spaced = joined and text and not (_is_tight(reversed(joined)) or _is_tight(text))
        joined += (" " if spaced else "") + text
    return joined


def _is_tight(text: Iterable[str]) -> bool:
    """Whether no space stands before a text, or behind it if it is reversed.

    Wide punctuation, as in Chinese and Japanese, brings its own room; other punctuation is the letter's beside it.
    """
    for character in text:
        if unicodedata.category(character)[0] != "P":
            return is_unspaced(character)
        if unicodedata.east_asian_width(character) in {"W", "F"}:
            return True
    return False


@dataclass(slots=True)
class _Open:
    """A word that may still grow."""

    text: str
    first: int
    last: int


def split_words(
    tokens: Sequence[Token], frame_seconds: float, confidence: Confidence = _CONFIDENCE
) -> tuple[Word, ...]:
    """Group tokens into words with times. Language tags must not be among the tokens.

    A word starts behind a space and, in scripts without spaces, at every character; marks and closing punctuation stay
    with the word before them, opening brackets with the one behind. All words in a row are the text without its spaces.
    """
    words: list[_Open] = []
    space: int | None = 0  # the token of the space before, when the next character starts a word
    for character in _characters(tokens):
        if character.text.isspace():
            space = character.last
        elif words and space is None and not _starts_word(character.text, words[-1].text):
            words[-1].text += character.text
            words[-1].last = character.last
        else:
            # A space that is a token of its own, or of this token, belongs to the word that it begins.
            first = space if space is not None and _is_space(tokens[space]) else character.first
            words.append(_Open(character.text, first, character.last))
        if not character.text.isspace():
            space = None
    return tuple(
        Word(
            word.text,
            round(tokens[word.first].time, 3),
            round(tokens[word.last].time + frame_seconds, 3),
            round(confidence.aggregate([token.confidence for token in tokens[word.first : word.last + 1]]), 4),
        )
        for word in words
    )


def _characters(tokens: Sequence[Token]) -> Iterator[_Character]:
    """The text of all tokens, character by character; bytes at the end that are no character are left out."""
    decoder = codecs.getincrementaldecoder("utf-8")(_REPLACE_EACH)
    begun = 0  # the token of the first byte that waits for the rest of its character
    for number, token in enumerate(tokens):
        waiting = bool(decoder.getstate()[0])
        if not waiting:
            begun = number
        for index, character in enumerate(decoder.decode(_bytes(token.piece))):
            yield _Character(character, begun if waiting and not index else number, number)
            begun = number


def _is_space(token: Token) -> bool:
    return token.piece.strip(SPACE) == ""


def _starts_word(character: str, word: str) -> bool:
    """Whether a character behind a word, with no space between, is a word of its own."""
    category = unicodedata.category(character)
    if category[0] == "M" or character in _JOINERS or word[-1] in _JOINERS:
        return False
    if not (is_unspaced(character) or is_unspaced(word[-1]) or is_unspaced(word[0])):
        return False
    if category in _OPENING:
        return True
    return category[0] != "P" and unicodedata.category(word[-1]) not in _OPENING


def is_unspaced(character: str) -> bool:
    """Whether a character belongs to a script that is written without spaces between words."""
    return unicodedata.name(character, "").startswith(_UNSPACED)
