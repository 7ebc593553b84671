"""From words to segments: sentences, cut further at pauses and where they grow too long."""

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from legato.confidence import Confidence
from legato.transcript import Segment, Word

SENTENCE_ENDS = tuple(".!?。！？।؟…")
PAUSE_SECONDS = 2.0
MAX_SECONDS = 30.0

_ABBREVIATION = 2  # letters at most
_QUOTES = "\"'”’»)]}」』）"


def split_segments(
    text: str, words: Sequence[Word], tags: Sequence[tuple[float, str]], asked: str | None, confidence: Confidence
) -> tuple[Segment, ...]:
    """Cut a transcript into segments.

    Args:
        text: the transcript's text.
        words: all its words.
        tags: the language tags that the model emitted, with the seconds when it did.
        asked: the language of words after which no tag comes, when none came at all.
        confidence: how words make the segment's confidence.

    Returns:
        Segments in order; their texts in a row, with the spaces between them, are `text`.
    """
    spans = list(word_spans(text, words))
    result = []
    first = 0
    for number, word in enumerate(words):
        following = words[number + 1] if number + 1 < len(words) else None
        if following is not None and not _ends(words[first], word, following):
            continue
        mine = tuple(words[first : number + 1])
        result.append(
            Segment(
                text[spans[first][0] : spans[number][1]],
                mine[0].start,
                mine[-1].end,
                mine,
                _language(mine[-1].end, tags) or asked,
                round(confidence.of_all([each.confidence for each in mine]), 4),
            )
        )
        first = number + 1
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


def _ends(first: Word, word: Word, following: Word) -> bool:
    """Whether a segment that began with `first` ends between two words."""
    if following.start - word.end > PAUSE_SECONDS or following.end - first.start > MAX_SECONDS:
        return True
    bare = word.text.rstrip(_QUOTES)
    if not bare.endswith(SENTENCE_ENDS) or unicodedata.category(following.text[0]) in {"Po", "Pe", "Pf"}:
        return False
    return not (bare.endswith(".") and _is_abbreviation(bare[:-1]) and following.start - word.end < PAUSE_SECONDS / 4)


def _is_abbreviation(name: str) -> bool:
    """Whether a full stop behind it need not end a sentence: Mr, U.S, e.g, and the ordinal numbers of German dates."""
    return "." in name or (len(name) <= _ABBREVIATION and (name[:1].isupper() or name.isdigit()))


def _language(end: float, tags: Sequence[tuple[float, str]]) -> str | None:
    """Give the tag that closes a segment: the first from its last word on, else the last one before."""
    after = bisect_left(tags, end - 0.1, key=lambda tag: tag[0])
    return tags[min(after, len(tags) - 1)][1] if tags else None
