"""Figures of one variant against FP32."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from legato.lab import bootstrap
from legato.lab.kept import KeptTotal

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """A difference of two rates and its 95 % interval, as fractions.

    Attributes:
        value: the rate of the variant minus that of FP32.
        low, high: bounds of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def is_noise(self) -> bool:
        """Whether the interval contains zero."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Figures:
    """The loss of a variant.

    Attributes:
        encoder_error: ||x - x_fp32|| / ||x_fp32|| of the encoder's frames over all audio.
        divergence: mean KL divergence in nats of the joint's distribution from FP32's, along FP32's own search path.
        token_agreement: 1 - edit distance / length of the token sequences, over all utterances.
        exact: share of utterances with the same tokens.
        kept: the words kept of FP32's texts; None without any.
        wer, cer: word and character error rates, as fractions.
        wer_difference, cer_difference: change from FP32, with the interval of a paired bootstrap over utterances.
    """

    encoder_error: float
    divergence: float
    token_agreement: float
    exact: float
    kept: KeptTotal | None
    wer: float
    cer: float
    wer_difference: Change
    cer_difference: Change


def rate(errors: Numbers, lengths: Numbers) -> float:
    """Return the errors per unit of length over all utterances; 0 if there is no unit."""
    return float(errors.sum() / lengths.sum()) if lengths.sum() else 0.0


def change(errors: Numbers, baseline: Numbers, lengths: Numbers, seed: int) -> Change:
    """Return the difference of two error rates on the same utterances, with the interval of a paired bootstrap.

    Args:
        errors, baseline: edits of every utterance with the variant and with FP32, float64[n].
        lengths: words or characters of every reference text, float64[n].
    """
    found = bootstrap.paired_difference(baseline, errors, lengths, seed=seed)
    if found is None:
        return Change(0.0, 0.0, 0.0)
    return Change(found.difference, found.interval.low, found.interval.high)
