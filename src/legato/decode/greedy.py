"""Greedy RNN-T search over the rows of a batch, label looping.

The joint is evaluated for a block of frames at once with the prediction net's current output: all blanks before the
next token are found in one call. The prediction net runs only after a token, for the rows that emitted one. The result
is that of the frame-by-frame loop of NeMo's `GreedyBatchedRNNTInfer` with `max_symbols`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from legato.decode.confidence import Confidence
from legato.decode.phrases import PhraseTrie
from legato.runtime.transducer import Floats, Transducer

#: Frames that the joint sees at once: the tokens of speech stand closer than this, and frames behind one are wasted.
BLOCK = 8
_CONFIDENCE = Confidence()


@dataclass(frozen=True)
class SearchState:
    """One stream's place in the search.

    Attributes:
        prediction: float32[hidden], the prediction net's output after the last token (blank at the start).
        h, c: float32[layers, hidden], its LSTM state.
        phrases: what is to be recognised more readily.
        node: the place in that trie.
    """

    prediction: Floats
    h: Floats
    c: Floats
    phrases: PhraseTrie | None = None
    node: int = 0


@dataclass(frozen=True, slots=True)
class Emission:
    """A token, the frame of this call (0, 1, ...) that emitted it, and how sure the model was (not compared by ==)."""

    token: int
    frame: int
    confidence: float = field(default=1.0, compare=False)


def start_search(transducer: Transducer) -> SearchState:
    """State of a new stream: the prediction net primed with blank."""
    h, c = transducer.initial(1)
    prediction, h, c = transducer.predict(np.array([transducer.blank]), h, c)
    return SearchState(prediction[0], h[:, 0], c[:, 0])


def greedy_search(
    transducer: Transducer,
    rows: Sequence[Floats],
    states: Sequence[SearchState],
    max_symbols: int,
    confidence: Confidence = _CONFIDENCE,
) -> list[tuple[list[Emission], SearchState]]:
    """Search the next frames of several streams.

    Args:
        transducer: prediction net and joint.
        rows: float32[n, width] for every stream; n may differ and may be 0.
        states: what the call before returned for the stream, or `start_search`.
        max_symbols: tokens that one frame may emit at most.
        confidence: how to measure it; costs a softmax for every token, and nothing for blanks.

    Returns:
        For every stream its emissions in order, and its next state.
    """
    count = len(rows)
    lengths = np.array([len(row) for row in rows])
    frames = np.zeros((count, max(1, int(lengths.max(initial=0))) + BLOCK, rows[0].shape[1]), np.float32)
    for target, row in zip(frames, rows, strict=True):
        target[: len(row)] = row
    predictions = np.stack([state.prediction for state in states])
    h, c = (np.stack([getattr(state, name) for state in states], axis=1) for name in ("h", "c"))
    position = np.zeros(count, np.int64)
    symbols = np.zeros(count, np.int64)
    phrases = [state.phrases for state in states]
    nodes = [state.node for state in states]
    emissions: list[list[Emission]] = [[] for _ in rows]
    while len(active := np.flatnonzero(position < lengths)):
        remaining = np.minimum(lengths[active] - position[active], BLOCK)
        block = int(remaining.max())
        window = position[active, None] + np.arange(block)
        logits = transducer.join(frames[active[:, None], window], predictions[active])
        best = logits.argmax(axis=-1)
        first = _first_token(best, remaining, transducer.blank)
        found = first < remaining
        # Rows with blanks only: the whole block is done.
        blank_rows = active[~found]
        position[blank_rows] += remaining[~found]
        symbols[blank_rows] = 0
        emitting = active[found]
        if not len(emitting):
            continue
        offsets = first[found]
        tokens = best[found, offsets]
        if any(trie is not None for trie in phrases):
            steps = logits[found, offsets]
            # Where the model has decided for a token, its phrases have a say in which; blanks stay.
            for i, (row, trie) in enumerate((row, phrases[row]) for row in emitting):
                if trie is not None:
                    tokens[i], nodes[row] = trie.choose(steps[i], nodes[row])
        symbols[emitting] = np.where(offsets > 0, 0, symbols[emitting]) + 1
        position[emitting] += offsets
        sure = confidence.of_tokens(logits[found, offsets], tokens)
        for row, token, value in zip(emitting, tokens, sure, strict=True):
            emissions[row].append(Emission(int(token), int(position[row]), value))
        predictions[emitting], h[:, emitting], c[:, emitting] = transducer.predict(
            tokens.astype(np.int64), h[:, emitting], c[:, emitting]
        )
        full = emitting[symbols[emitting] >= max_symbols]
        position[full] += 1
        symbols[full] = 0
    return [
        (
            emissions[row],
            SearchState(predictions[row].copy(), h[:, row].copy(), c[:, row].copy(), phrases[row], nodes[row]),
        )
        for row in range(count)
    ]


def _first_token(best: NDArray[np.int64], remaining: NDArray[np.int64], blank: int) -> NDArray[np.int64]:
    """Index of the first token within each row's remaining frames, or the number of those where there is none."""
    token = (best != blank) & (np.arange(best.shape[1]) < remaining[:, None])
    return np.where(token.any(axis=1), token.argmax(axis=1), remaining)
