"""Greedy transducer search by hand: checks what a framework decodes, and tells how close its decisions were."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

MAX_SYMBOLS = 10


@dataclass(frozen=True)
class Search:
    """Tokens with the encoder frame each was emitted at, and the smallest lead of a winner over the runner-up."""

    tokens: list[int]
    frames: list[int]
    margin: float
    most_symbols: int


def greedy_search(
    frames: Tensor,
    predict: Callable[[int, Any], tuple[Tensor, Any]],
    join: Callable[[Tensor, Tensor], Tensor],
    blank: int,
) -> Search:
    """Search encoder `frames` [T, D]. `predict` starts with the blank and no state; `join` gives logits [V+1]."""
    tokens: list[int] = []
    times: list[int] = []
    margin = float("inf")
    most = 0
    output, state = predict(blank, None)
    for time, frame in enumerate(frames):
        symbols = 0
        while symbols < MAX_SYMBOLS:
            logits = join(frame, output)
            best = logits.topk(2)
            margin = min(margin, float(best.values[0] - best.values[1]))
            token = int(best.indices[0])
            if token == blank:
                break
            tokens.append(token)
            times.append(time)
            symbols += 1
            output, state = predict(token, state)
        most = max(most, symbols)
    return Search(tokens, times, margin, most)


def worth(searches: Iterable[tuple[Search, int]]) -> float:
    """How well searches, each with its number of encoder frames, suit a reference: the smallest margin of all.

    Negative at the first transcript that is too short, repeats itself, or has no blanks: it would test little.
    """
    margin = float("inf")
    for found, frames in searches:
        silent = frames - len(set(found.frames))
        if len(found.tokens) < 8 or len(set(found.tokens)) < 5 or silent < frames // 5 or found.most_symbols < 2:
            return -1.0
        margin = min(margin, found.margin)
    return margin
