"""From words to segments: sentences, which are cut again at pauses and where they are too long."""

import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from legato.text.words import word_spans
from legato.types import Confidence, Reason, Segment, Token, Word

SENTENCE_ENDS = tuple(".!?。！？।؟…")
PAUSE_SECONDS = 2.0
MAX_SECONDS = 30.0

_ABBREVIATION = 2  # letters at most
_QUOTES = "\"'”’»)]}」』”）"


def split_segments(
    text: str,
    tokens: Sequence[Token],
    words: Sequence[Word],
    tags: Mapping[int, str],
    language: str | None,
    confidence: Confidence,
) -> tuple[Segment, ...]:
    """Cut a transcript into segments.

    Args:
        text: the transcript's text.
        tokens: all its tokens, language tags included.
        words: all its words.
        tags: languages by the id of their tag.
        language: of the segments if the tokens have no tag.
        confidence: how the confidences of words make that of a segment.

    Returns:
        Segments in order. Their texts in a row, with the spaces between them, are `text`.
    """
    spans = list(word_spans(text, words))
    times = [token.time for token in tokens]
    tagged = [(token.time, tags[token.id]) for token in tokens if token.id in tags]
    result = []
    first = begin = 0
    for number, word in enumerate(words):
        following = words[number + 1] if number + 1 < len(words) else None
        reason = _reason(words[first], word, following)
        if reason is None:
            continue
        stop = bisect_left(times, following.start, begin) if following else len(tokens)
        own = tuple(words[first : number + 1])
        result.append(
            Segment(
                text[spans[first][0] : spans[number][1]],
                own[0].start,
                own[-1].end,
                _language(own[-1].end, tagged) or language,
                tuple(tokens[begin:stop]),
                own,
                reason,
                confidence=confidence.aggregate([each.confidence for each in own]),
            )
        )
        first, begin = number + 1, stop
    return tuple(result)


def _reason(first: Word, word: Word, following: Word | None) -> Reason | None:
    """Return why a segment that began with `first` ends between two words; None if it goes on."""
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
    """Return whether a full stop after `name` need not end a sentence: Mr, U.S, e.g, the ordinals of German dates."""
    return "." in name or (len(name) <= _ABBREVIATION and (name[:1].isupper() or name.isdigit()))


def _language(end: float, tags: Sequence[tuple[float, str]]) -> str | None:
    """Return the language that closes a segment: of the first tag from its last word on, else of the last tag."""
    after = bisect_left(tags, end - 0.1, key=lambda tag: tag[0])
    return tags[min(after, len(tags) - 1)][1] if tags else None
