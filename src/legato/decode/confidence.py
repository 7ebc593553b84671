"""How sure the model was of a token, and of the words and segments made of tokens.

The measures are NeMo's: functions of the joint's distribution at the frame that emitted the token, 0 where all outputs
are equally likely and 1 where there is no doubt. They are computed for emitted tokens only. Like any network's, they
are no calibrated probabilities: compare them with each other, on one model.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Measure = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float64]]
MeasureName = Literal["max_prob", "entropy"]
AggregationName = Literal["min", "mean", "prod"]

_ALPHA = 0.33  # NeMo's default for its entropies


def max_prob(logits: NDArray[np.float32], tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scale the probability of the emitted token, which in greedy search is the largest.

    Args:
        logits: float32[N, V], blank included.
        tokens: int64[N], what was emitted.

    Returns:
        float64[N]: p = 1/V becomes 0, and so does less, which only phrases and beam search emit.
    """
    outputs = logits.shape[-1]
    probabilities = np.exp(_log_softmax(logits)[np.arange(len(tokens)), tokens])
    return np.asarray(np.maximum(0, (probabilities * outputs - 1) / (outputs - 1)))


def entropy(logits: NDArray[np.float32], _tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scale the Tsallis entropy with alpha 0.33 exponentially, as NeMo does by default; arguments as for `max_prob`."""
    outputs = logits.shape[-1]
    rest = 1 - _ALPHA
    least = math.exp((1 - outputs**rest) / rest)
    powers = np.exp(_log_softmax(logits) * _ALPHA).sum(axis=-1)
    return np.asarray((np.exp((1 - powers) / rest) - least) / (1 - least))


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


MEASURES: dict[str, Measure] = {"max_prob": max_prob, "entropy": entropy}
AGGREGATIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "mean": lambda values: sum(values) / len(values),
    "prod": math.prod,
}


@dataclass(frozen=True, slots=True)
class Confidence:
    """Which confidence a recogniser gives.

    Attributes:
        measure: of a token: `max_prob` or `entropy`.
        aggregation: from the tokens of a word or segment to its own: `min`, `mean` or `prod`.

    Raises:
        ValueError: an unknown name.
    """

    measure: MeasureName = "max_prob"
    aggregation: AggregationName = "min"

    def __post_init__(self) -> None:
        for name, known in ((self.measure, MEASURES), (self.aggregation, AGGREGATIONS)):
            if name not in known:
                raise ValueError(f"unknown confidence {name!r}: give one of {', '.join(known)}")

    def of_tokens(self, logits: NDArray[np.float32], tokens: NDArray[np.int64]) -> list[float]:
        """Give the confidence of tokens int64[N] emitted from logits float32[N, V]."""
        return [float(value) for value in MEASURES[self.measure](logits, tokens)]

    def of_all(self, values: Sequence[float]) -> float:
        """Give the confidence of something made of tokens, or of words, with these confidences."""
        return AGGREGATIONS[self.aggregation](values)
