"""From words to segments: sentences, or some seconds of speech, with borders at the longest pauses."""

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from legato.text.words import word_spans
from legato.types import Confidence, Reason, Segment, Token, Word

SENTENCE_ENDS = tuple(".!?。！？।؟…")
CLAUSE_ENDS = tuple(",;:–—、，；：،؛")
PAUSE_SECONDS = 2.0
#: The most seconds of a segment that is a sentence, and of another.
SENTENCE_SECONDS, MAX_SECONDS = 30.0, 10.0
#: The fewest seconds of the parts of a segment that is too long.
MIN_SECONDS = 3.0

_COMMA_SECONDS = 0.3  # what a comma is worth as a border
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
    begin = 0
    for first, last, reason in _pieces(words):
        stop = bisect_left(times, words[last + 1].start, begin) if last + 1 < len(words) else len(tokens)
        own = tuple(words[first : last + 1])
        result.append(
            Segment(
                text[spans[first][0] : spans[last][1]],
                own[0].start,
                own[-1].end,
                _language(own[-1].end, tagged) or language,
                tuple(tokens[begin:stop]),
                own,
                reason,
                confidence=confidence.aggregate([each.confidence for each in own]),
            )
        )
        begin = stop
    return tuple(result)


def _pieces(words: Sequence[Word]) -> Iterator[tuple[int, int, Reason]]:
    """Yield the first and the last word of each segment, and why it ends."""
    first = 0
    for number, word in enumerate(words):
        following = words[number + 1] if number + 1 < len(words) else None
        reason = _reason(word, following)
        if reason is None:
            continue
        is_sentence = word.text.rstrip(_QUOTES).endswith(SENTENCE_ENDS)
        *parts, last = _shortened(words, first, number, SENTENCE_SECONDS if is_sentence else MAX_SECONDS)
        for part in parts:
            yield *part, "length"
        yield *last, reason
        first = number + 1


def _shortened(words: Sequence[Word], first: int, last: int, most: float) -> list[tuple[int, int]]:
    """Divide words at the longest pauses, after a comma if there is one near, until no part has more than `most` s."""
    if words[last].end - words[first].start <= most:
        return [(first, last)]

    def pause(number: int) -> tuple[float, float]:
        gap = words[number + 1].start - words[number].end
        middle = (words[first].start + words[last].end) / 2
        return gap + _COMMA_SECONDS * words[number].text.endswith(CLAUSE_ENDS), -abs(words[number].end - middle)

    numbers = [
        number
        for number in range(first, last)
        if words[number].end - words[first].start >= MIN_SECONDS
        and words[last].end - words[number + 1].start >= MIN_SECONDS
    ]
    if not numbers:
        return [(first, last)]
    border = max(numbers, key=pause)
    return [*_shortened(words, first, border, most), *_shortened(words, border + 1, last, most)]


def _reason(word: Word, following: Word | None) -> Reason | None:
    """Return why a segment ends between two words; None if it goes on."""
    if following is None:
        return "end"
    if following.start - word.end > PAUSE_SECONDS:
        return "pause"
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
