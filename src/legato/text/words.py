"""From tokens to words, and where words are in a text."""

import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from legato.text.pieces import SPACE, is_special, piece_bytes, utf8_decoder
from legato.text.scripts import is_mark, is_unspaced, is_wide_punctuation
from legato.types import Confidence, Segment, Token, Transcript, Word

_CONFIDENCE = Confidence()
_OPENING = ("Ps", "Pi")
_JOINERS = "\u200c\u200d"


@dataclass(slots=True)
class _Piece:
    """A character or a word that is being built, with the indices of the first and the last token that spell it."""

    text: str
    first: int
    last: int


def split_words(
    tokens: Sequence[Token],
    frame_seconds: float,
    confidence: Confidence = _CONFIDENCE,
    duration: float = math.inf,
) -> tuple[Word, ...]:
    """Group tokens into words with times.

    A word starts after a space and, in scripts without spaces, at every character. Marks and closing punctuation belong
    to the word before them, opening brackets to the word after them. Joined, the words are the text without its spaces.

    Args:
        tokens: in order, without language tags.
        frame_seconds: length of an encoder frame.
        confidence: how the confidences of tokens make that of a word.
        duration: seconds of the audio. Frames at its end reach beyond it; words do not.
    """
    return tuple(
        Word(
            word.text,
            round(min(tokens[word.first].time, duration), 3),
            round(min(tokens[word.last].time + frame_seconds, duration), 3),
            confidence.aggregate([token.confidence for token in tokens[word.first : word.last + 1]]),
        )
        for word in _grouped(tokens)
    )


def spread_words(text: str, start: float, end: float) -> tuple[Word, ...]:
    """Return the words of a text whose times are not known: each character takes an equal share of the time.

    Args:
        text: without language tags.
        start, end: seconds.
    """
    share = (end - start) / max(1, len(text))
    pieces = (SPACE if character.isspace() else character for character in text)
    return split_words([Token(0, piece, start + share * place, 0) for place, piece in enumerate(pieces)], share)


def word_starts(tokens: Sequence[Token]) -> list[int]:
    """Return the indices of the tokens that begin a word and spell no part of the word before, without the first.

    Args:
        tokens: in order, without language tags.
    """
    return [word.first for before, word in pairwise(_grouped(tokens)) if before.last < word.first]


def _grouped(tokens: Sequence[Token]) -> list[_Piece]:
    """Group the characters of tokens into words."""
    words: list[_Piece] = []
    space: int | None = 0  # the token of the space, when the next character starts a word
    for character in _characters(tokens):
        if character.text.isspace():
            space = character.last
        elif words and space is None and not _starts_word(character.text, words[-1].text):
            words[-1].text += character.text
            words[-1].last = character.last
        else:
            # A space that is a token of its own, or is in this token, belongs to the word that it begins.
            first = space if space is not None and _is_space(tokens[space]) else character.first
            words.append(_Piece(character.text, first, character.last))
        if not character.text.isspace():
            space = None
    return words


def join_texts(texts: Iterable[str]) -> str:
    """Join texts that were spoken one after the other, with a space between them unless the script has none."""
    joined = ""
    for text in texts:
        spaced = joined and text and not (_is_tight(reversed(joined)) or _is_tight(text))
        joined += (" " if spaced else "") + text
    return joined


def join_spoken(segments: Iterable[Segment | Transcript]) -> str:
    """Join the texts of a stream's segments as `join_texts` does, but for a segment that continues the word before it.

    A segment that was closed by a pause or a commit may end within a word, or before a comma.
    """
    joined = ""
    for segment in segments:
        joined = append_spoken(joined, segment)
    return joined


def append_spoken(text: str, segment: Segment | Transcript) -> str:
    """Return a text with that of the next segment, as `join_spoken` joins them."""
    return text + segment.text if _continues(segment) else join_texts([text, segment.text])


def _continues(segment: Segment | Transcript) -> bool:
    """Return whether the first token with text continues what was before: it has no space of its own."""
    for token in segment.tokens:
        if is_special(token.piece):
            continue
        if token.piece.startswith(SPACE):
            return False
        if token.piece and segment.text.startswith(token.piece):
            return True
    return False


def word_spans(text: str, words: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Yield where each word begins and ends in the text that it comes from."""
    position = 0
    for word in words:
        found = text.find(word.text, position)
        begin = position if found < 0 else found
        position = min(len(text), begin + len(word.text))
        yield begin, position


def spaces_before(text: str, words: Sequence[Word]) -> list[bool]:
    """Return for each word whether a space stands before it in the text; for the first, True."""
    spans = list(word_spans(text, words))
    return [True] * bool(spans) + [begin > end for (_, end), (begin, _) in pairwise(spans)]


def _characters(tokens: Sequence[Token]) -> Iterator[_Piece]:
    """Yield the text of all tokens by character. Bytes at the end that are no whole character are left out."""
    decoder = utf8_decoder()
    begun = 0  # the token with the first byte of a character that is not complete
    for number, token in enumerate(tokens):
        waiting = bool(decoder.getstate()[0])
        if not waiting:
            begun = number
        for index, character in enumerate(decoder.decode(piece_bytes(token.piece))):
            yield _Piece(character, begun if waiting and not index else number, number)
            begun = number


def _is_space(token: Token) -> bool:
    return token.piece.strip(SPACE) == ""


def _starts_word(character: str, word: str) -> bool:
    """Return whether a character that follows a word without a space is a word of its own."""
    if is_mark(character) or character in _JOINERS or word[-1] in _JOINERS:
        return False
    if not (is_unspaced(character) or is_unspaced(word[-1]) or is_unspaced(word[0])):
        return False
    category = unicodedata.category(character)
    if category in _OPENING:
        return True
    return category[0] != "P" and unicodedata.category(word[-1]) not in _OPENING


def _is_tight(text: Iterable[str]) -> bool:
    """Return whether no space stands before a text; of a reversed text, whether none stands after it.

    Narrow punctuation is set as the letter next to it.
    """
    for character in text:
        if unicodedata.category(character)[0] != "P":
            return is_unspaced(character)
        if is_wide_punctuation(character):
            return True
    return False
