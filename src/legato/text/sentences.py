"""From words to segments: sentences, cut further at pauses and where they grow too long."""

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from legato.types import Confidence, Reason, Segment, Token, Word

SENTENCE_ENDS = tuple(".!?。！？।؟…")
PAUSE_SECONDS = 2.0
MAX_SECONDS = 30.0

_ABBREVIATION = 2  # letters at most
_QUOTES = "\"'”’»)]}」』）"


def split_segments(
    text: str,
    tokens: Sequence[Token],
    words: Sequence[Word],
    tags: Mapping[int, str],
    asked: str | None,
    confidence: Confidence,
) -> tuple[Segment, ...]:
    """Cut a transcript into segments.

    Args:
        text: the transcript's text.
        tokens: all its tokens.
        words: all its words.
        tags: language tags by token.
        asked: the language of the words when no tag came at all.
        confidence: how words make the segment's confidence.

    Returns:
        Segments in order; their texts in a row, with the spaces between them, are `text`.
    """
    spans = list(word_spans(text, words))
    times = [token.time for token in tokens]
    told = [(token.time, tags[token.id]) for token in tokens if token.id in tags]
    result = []
    first = begin = 0
    for number, word in enumerate(words):
        following = words[number + 1] if number + 1 < len(words) else None
        reason = _reason(words[first], word, following)
        if reason is None:
            continue
        stop = bisect_left(times, following.start, begin) if following else len(tokens)
        mine = tuple(words[first : number + 1])
        result.append(
            Segment(
                text[spans[first][0] : spans[number][1]],
                mine[0].start,
                mine[-1].end,
                _language(mine[-1].end, told) or asked,
                tuple(tokens[begin:stop]),
                mine,
                reason,
                confidence=round(confidence.aggregate([each.confidence for each in mine]), 4),
            )
        )
        first, begin = number + 1, stop
    return tuple(result)


def word_spans(text: str, words: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Find where each word begins and ends in the text that it is from."""
    position = 0
    for word in words:
        found = text.find(word.text, position)
        begin = position if found < 0 else found
        position = min(len(text), begin + len(word.text))
        yield begin, position


def spaced(text: str, words: Sequence[Word]) -> list[bool]:
    """Tell for each word whether a space stands before it in the text."""
    spans = list(word_spans(text, words))
    return [True] * bool(spans) + [begin > end for (_, end), (begin, _) in pairwise(spans)]


def _reason(first: Word, word: Word, following: Word | None) -> Reason | None:
    """Why a segment that began with `first` ends between two words; None when it goes on."""
    if following is None:
        return "end"
    if following.start - word.end > PAUSE_SECONDS:
        return "pause"
    if following.end - first.start > MAX_SECONDS:
        return "length"
    bare = word.text.rstrip(_QUOTES)
    if not bare.endswith(SENTENCE_ENDS) or unicodedata.category(following.text[0]) in {"Po", "Pe", "Pf"}:
        return None
    if bare.endswith(".") and _is_abbreviation(bare[:-1]) and following.start - word.end < PAUSE_SECONDS / 4:
        return None
    return "sentence"


def _is_abbreviation(name: str) -> bool:
    """Whether a full stop behind it need not end a sentence: Mr, U.S, e.g, and the ordinal numbers of German dates."""
    return "." in name or (len(name) <= _ABBREVIATION and (name[:1].isupper() or name.isdigit()))


def _language(end: float, tags: Sequence[tuple[float, str]]) -> str | None:
    """Give the tag that closes a segment: the first from its last word on, else the last one before."""
    after = bisect_left(tags, end - 0.1, key=lambda tag: tag[0])
    return tags[min(after, len(tags) - 1)][1] if tags else None
