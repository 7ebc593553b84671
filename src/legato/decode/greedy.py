"""Greedy RNN-T search over the rows of a batch, with label looping.

The joint is evaluated for a block of frames at once with the prediction net's current output, so one call finds all
blanks before the next token. The prediction net runs only after a token, and only for the rows that emitted one. The
result is that of the frame-by-frame loop of NeMo's `GreedyBatchedRNNTInfer` with `max_symbols`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from legato.decode.confidence import token_scores
from legato.decode.phrase_trie import PhraseTrie
from legato.decode.transducer import Transducer
from legato.types import Confidence, Floats

#: Frames per call of the joint. Tokens of speech are closer together than this, and frames after a token are wasted.
BLOCK = 8
_CONFIDENCE = Confidence()


@dataclass(frozen=True)
class GreedyState:
    """One stream's state of greedy search.

    Attributes:
        prediction: float32[hidden], the prediction net's output after the last token (blank at the start).
        h, c: float32[layers, hidden], its LSTM state.
        phrases: phrases to recognize more readily.
        node: the current node in that trie.
    """

    prediction: Floats
    h: Floats
    c: Floats
    phrases: PhraseTrie | None = None
    node: int = 0


@dataclass(frozen=True, slots=True)
class Emission:
    """An emitted token.

    Attributes:
        token: its id.
        frame: index of the emitting frame in the call (0, 1, ...); may be negative with beam search.
        confidence, logprob: as in `legato.types.Token`; not compared by `==`.
    """

    token: int
    frame: int
    confidence: float = field(default=1.0, compare=False)
    logprob: float = field(default=0.0, compare=False)


def start_search(transducer: Transducer) -> GreedyState:
    """Return the state of a new stream: the prediction net primed with blank."""
    h, c = transducer.initial(1)
    prediction, h, c = transducer.predict(np.array([transducer.blank]), h, c)
    return GreedyState(prediction[0], h[:, 0], c[:, 0])


def greedy_search(
    transducer: Transducer,
    rows: Sequence[Floats],
    states: Sequence[GreedyState],
    max_symbols: int,
    confidence: Confidence = _CONFIDENCE,
) -> list[tuple[list[Emission], GreedyState]]:
    """Decode the next frames of several streams.

    Args:
        rows: float32[n, width] per stream; n may differ and may be 0.
        states: per stream the state that the call before returned, or that of `start_search`.
        max_symbols: largest number of tokens per frame.
        confidence: how it is measured; costs a softmax per token and nothing for blanks.

    Returns:
        Per stream its emissions in order, and its next state.
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
        # Rows with only blanks are done with the whole block.
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
            # Phrases decide which token is emitted, never whether one is: blanks stay.
            for i, (row, trie) in enumerate((row, phrases[row]) for row in emitting):
                if trie is not None:
                    tokens[i], nodes[row] = trie.choose(steps[i], nodes[row])
        symbols[emitting] = np.where(offsets > 0, 0, symbols[emitting]) + 1
        position[emitting] += offsets
        scores = zip(*token_scores(confidence, logits[found, offsets], tokens), strict=True)
        for row, token, (certainty, logprob) in zip(emitting, tokens, scores, strict=True):
            emissions[row].append(Emission(int(token), int(position[row]), certainty, logprob))
        predictions[emitting], h[:, emitting], c[:, emitting] = transducer.predict(
            tokens.astype(np.int64), h[:, emitting], c[:, emitting]
        )
        full = emitting[symbols[emitting] >= max_symbols]
        position[full] += 1
        symbols[full] = 0
    return [
        (
            emissions[row],
            GreedyState(predictions[row].copy(), h[:, row].copy(), c[:, row].copy(), phrases[row], nodes[row]),
        )
        for row in range(count)
    ]


def _first_token(best: NDArray[np.int64], remaining: NDArray[np.int64], blank: int) -> NDArray[np.int64]:
    """Return the index of the first token within each row's remaining frames, or their number where there is none."""
    token = (best != blank) & (np.arange(best.shape[1]) < remaining[:, None])
    return np.where(token.any(axis=1), token.argmax(axis=1), remaining)
