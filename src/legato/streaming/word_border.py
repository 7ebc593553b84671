"""Where a segment ends that has become too long, or that its caller closes: between two words, never inside of one.

A token may continue the word before it, so a word is complete only when the next one has begun, or after a silence.
What follows the border opens the next segment.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from legato.text.pieces import decode
from legato.text.words import join_texts, word_starts
from legato.types import Token

#: Part of the longest segment, at its end, in which the longest gap between two words is looked for.
_LAST_PART = 0.3
#: Seconds without a token after which a word is taken to be complete, where a caller waits for its end.
_COMPLETE = 0.4
#: Seconds by which the first token of a word may come after the word began.
_LATE = 0.24
#: Seconds that a commit may wait for the end of a word.
LONGEST_WAIT = 2.0


@dataclass(frozen=True, slots=True)
class Border:
    """A border between two words.

    Attributes:
        kept: text tokens of the open segment that stay in it.
        frame: frame of the first token after the border; None if no token follows.
    """

    kept: int
    frame: int | None


def border_of_longest(tokens: Sequence[Token], now: int, longest: float) -> Border | None:
    """Return where a segment ends that has reached its longest length.

    It is the longest gap in the last part of the segment, else the start of the last word.

    Args:
        tokens: text tokens of the segment, without language tags.
        now: the frame after the last one that was decoded.
        longest: length of the longest segment in frames.

    Returns:
        The border; None while the present silence may become the longest gap, or the segment is a single word.
    """
    if not tokens:
        return Border(0, None)
    recent = list(_borders(tokens, math.ceil(now - _LAST_PART * longest)))
    best = max(recent, key=lambda index: (_gap(tokens, index), index), default=next(_borders(tokens), None))
    if best is None or now - 1 - tokens[-1].frame > max(0, _gap(tokens, best)):
        return None
    return Border(best, tokens[best].frame)


def border_of_commit(tokens: Sequence[Token], now: int, asked: int, frame_seconds: float) -> Border | None:
    """Return where a segment ends whose caller waits for the end of the word that is being spoken.

    Args:
        tokens: text tokens of the segment, without language tags.
        now: the frame after the last one that was decoded.
        asked: the frame at which the caller asked.
        frame_seconds: length of a frame.

    Returns:
        The border; None as long as the word may go on.
    """
    late, complete, most = (round(seconds / frame_seconds) for seconds in (_LATE, _COMPLETE, LONGEST_WAIT))
    if tokens and tokens[-1].frame >= asked + late:
        after = [*_borders(tokens, asked + late), *([0] if tokens[0].frame >= asked + late else [])]
        if after:
            return Border(after[-1], tokens[after[-1]].frame)
    spoken = tokens[-1].frame + 1 if tokens else 0
    if now - max(spoken, asked) >= complete:
        return Border(len(tokens), None)
    if now - asked < most:
        return None
    last = next(_borders(tokens), 0)
    return Border(last, tokens[last].frame)


def _borders(tokens: Sequence[Token], first: int = 0) -> Iterator[int]:
    """Yield the tokens from frame `first` on before which a segment may end, the last first.

    They begin a word, and the two texts, joined, are the whole text.
    """
    whole = decode(token.piece for token in tokens)
    for index in reversed(word_starts(tokens)):
        if tokens[index].frame < first:
            return
        if join_texts([decode(t.piece for t in tokens[:index]), decode(t.piece for t in tokens[index:])]) == whole:
            yield index


def _gap(tokens: Sequence[Token], index: int) -> int:
    """Return the frames between a token and the one before it; -1 if both are on one frame."""
    return tokens[index].frame - tokens[index - 1].frame - 1
