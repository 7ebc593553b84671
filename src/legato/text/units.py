"""What a subtitle never cuts: words, and characters of scripts that are written without spaces; each with its times."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from legato.text.scripts import is_mark, is_unspaced, is_wide_punctuation
from legato.text.words import spaces_before
from legato.types import Transcript, Word

PAUSE_MS = 1000
CLOSING = frozenset(
    ".,;:!?%)]}»”’…、。，．！？：；）］｝」』】〉》｡､｣･"
    "ーｰ々〻ゝゞヽヾぁぃぅぇぉっゃゅょァィゥェォッャュョｧｨｩｪｫｯｬｭｮ"
)  # fmt: skip
"""Characters that do not begin a line, besides marks: closing punctuation, iteration marks, small kana."""

_ZERO_WIDTH_JOINER = "\u200d"


@dataclass(frozen=True, slots=True)
class Unit:
    """A word, or a character of a script without spaces.

    Attributes:
        text: at least one character, without spaces.
        start, end: in milliseconds.
        spaced: a space stands before it.
    """

    text: str
    start: int
    end: int
    spaced: bool


def units_of(transcript: Transcript, widest: int) -> Iterator[Unit]:
    """Yield a transcript's units in order.

    Args:
        transcript: its words are cut; its tokens time the characters.
        widest: columns of a unit; a wider word is cut.
    """
    times = _character_times(transcript)
    position = 0
    for word, space in _runs(transcript):
        moments = times[position : position + len(word.text)]
        position += len(word.text)
        if not word.text:
            continue
        if any(is_unspaced(c) or is_wide_punctuation(c) for c in word.text) or columns(word.text) > widest:
            yield from _cut(word, moments, space, widest)
        else:
            yield Unit(word.text, _ms(word.start), max(_ms(word.end), _ms(word.start)), spaced=space)


def columns(text: str) -> int:
    """Return the columns that a text takes on a screen: two for a wide character, none for a combining mark."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _runs(transcript: Transcript) -> Iterator[tuple[Word, bool]]:
    """Yield what stands between two spaces as one word, and whether a space stands before it.

    Words of scripts without spaces are single characters; where a line may break depends on the whole run.
    """
    run: list[Word] = []
    before = False
    for word, space in zip(transcript.words, spaces_before(transcript.text, transcript.words), strict=True):
        if run and space:
            yield _joined(run), before
            run = []
        if not run:
            before = space
        run.append(word)
    if run:
        yield _joined(run), before


def _joined(words: list[Word]) -> Word:
    return Word("".join(word.text for word in words), words[0].start, words[-1].end)


def _cut(word: Word, moments: list[float | None], space: bool, widest: int) -> Iterator[Unit]:
    """Cut a word at the characters that may begin a line."""
    begins = [0]
    for index, character in enumerate(word.text[1:], 1):
        if _may_begin(character, word.text[index - 1]) or columns(word.text[begins[-1] : index + 1]) > widest:
            begins.append(index)
    starts = _fill([moments[index] for index in begins], word.start, word.end)
    for number, begin in enumerate(begins):
        last = number + 1 == len(begins)
        text = word.text[begin:] if last else word.text[begin : begins[number + 1]]
        start = _ms(starts[number])
        # A token lasts a frame or a few. A long time until the next one is a pause, not a long character.
        end = _ms(word.end) if last else min(_ms(starts[number + 1]), start + PAUSE_MS // 2)
        yield Unit(text, start, max(start, end), spaced=space and number == 0)


def _may_begin(character: str, before: str) -> bool:
    """Return whether a line may begin with `character` inside a word that has no spaces."""
    if is_mark(character) or character in CLOSING:
        return False
    if unicodedata.category(before) in {"Ps", "Pi"}:  # an opening bracket or quotation mark
        return False
    if _ZERO_WIDTH_JOINER in (character, before):
        return False
    return not (_is_of_word(character) and _is_of_word(before))


def _is_of_word(character: str) -> bool:
    """Return whether a character belongs to a word of a script with spaces, such as Latin in Japanese text."""
    return character.isalnum() and not is_unspaced(character)


def _character_times(transcript: Transcript) -> list[float | None]:
    """Return for each character of the words in a row the time of the token that spelled it.

    Tokens that spell no character of the words (language tags, parts of a character) are passed over. Characters that
    no token spells have no time.
    """
    text = "".join(word.text for word in transcript.words)
    times: list[float | None] = [None] * len(text)
    position = 0
    for word in transcript.words:
        times[position] = word.start
        position += len(word.text)
    position = 0
    for token in transcript.tokens:
        piece = token.piece.replace("\u2581", "").replace(" ", "")
        found = text.find(piece, position, position + len(piece) + 4) if piece else -1
        if found >= 0:
            times[found : found + len(piece)] = [token.time] * len(piece)
            position = found + len(piece)
    return times


def _fill(moments: list[float | None], start: float, end: float) -> list[float]:
    """Fill in missing times evenly between their neighbors; no time is less than the one before."""
    known = [(-1, start), *((i, t) for i, t in enumerate(moments) if t is not None), (len(moments), end)]
    result: list[float] = []
    for (before, early), (after, late) in pairwise(known):
        result += [early + (late - early) * (i - before) / (after - before) for i in range(before + 1, after)]
        if after < len(moments):
            result.append(late)
    latest = start
    for index, moment in enumerate(result):
        latest = max(latest, min(moment, max(end, start)))
        result[index] = latest
    return result


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
