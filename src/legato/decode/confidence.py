"""How certain the model was of an emitted token.

The measures are NeMo's (`ConfidenceMethodConfig`): functions of the joint's distribution at the frame that emitted the
token, 0 where all outputs are equally likely and 1 where one has all the probability. They are computed for emitted
tokens only. They are no probabilities: compare them with each other, on one model. `legato.model.calibration` makes
probabilities of them.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from legato.decode.numerics import log_softmax
from legato.types import Confidence, Floats

_ALPHA = 0.33  # NeMo's default for its entropies

_LogProbabilities = NDArray[np.float64]


def token_scores(confidence: Confidence, logits: Floats, tokens: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Score emitted tokens.

    Args:
        logits: float32[N, V], the joint's outputs that emitted them, blank included.
        tokens: int64[N].

    Returns:
        The confidence of each token and its log-probability (natural logarithm).
    """
    logprobs = log_softmax(logits)
    own = logprobs[np.arange(len(tokens)), tokens]
    measured = _MEASURES[confidence.measure](logprobs, own)
    return [float(value) for value in measured], [float(value) for value in own]


def _max_prob(logprobs: _LogProbabilities, own: _LogProbabilities) -> _LogProbabilities:
    """Scale the probability p of the token: p = 1/V becomes 0, and so does less, which only phrases and beams emit."""
    outputs = logprobs.shape[-1]
    return np.asarray(np.maximum(0, (np.exp(own) * outputs - 1) / (outputs - 1)))


def _entropy(logprobs: _LogProbabilities, _own: _LogProbabilities) -> _LogProbabilities:
    """Scale the Tsallis entropy with alpha 0.33 exponentially, as NeMo does by default."""
    outputs = logprobs.shape[-1]
    rest = 1 - _ALPHA
    least = math.exp((1 - outputs**rest) / rest)
    powers = np.exp(logprobs * _ALPHA).sum(axis=-1)
    return np.asarray((np.exp((1 - powers) / rest) - least) / (1 - least))


_MEASURES: dict[str, Callable[[_LogProbabilities, _LogProbabilities], _LogProbabilities]] = {
    "max_prob": _max_prob,
    "entropy": _entropy,
}
