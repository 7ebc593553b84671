"""Figures of one variant against FP32."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from legato.lab import bootstrap

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A difference and its 95 % interval, as fractions."""

    value: float
    low: float
    high: float

    @property
    def is_noise(self) -> bool:
        """Whether the interval holds zero."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Figures:
    """What a variant costs.

    Attributes:
        encoder_error: ||x - x_fp32|| / ||x_fp32|| of the encoder's frames over all audio.
        divergence: mean KL divergence in nats of the joint's distribution from FP32's, along FP32's own search path.
        token_agreement: 1 - edit distance / length of the token sequences, over all utterances.
        exact: share of utterances with the same tokens.
        wer, cer: word and character error rates, fractions.
        wer_difference, cer_difference: less those of FP32, with the interval of a paired bootstrap over utterances.
    """

    encoder_error: float
    divergence: float
    token_agreement: float
    exact: float
    wer: float
    cer: float
    wer_difference: Interval
    cer_difference: Interval


def edits(expected: Sequence[object], found: Sequence[object]) -> int:
    """Levenshtein distance of two sequences (of words, characters, token ids)."""
    return int(Levenshtein.distance(expected, found))


def plain(text: str) -> str:
    """What texts are compared as: lower case, without punctuation, one space between words."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = (c if unicodedata.category(c)[0] in "LMN" or c == "'" else " " for c in folded.replace("\u2019", "'"))
    return " ".join("".join(kept).split())


def rate(errors: Numbers, lengths: Numbers) -> float:
    """Errors over length, over all utterances; 0 where there is nothing to get wrong."""
    return float(errors.sum() / lengths.sum()) if lengths.sum() else 0.0


def paired_difference(errors: Numbers, baseline: Numbers, lengths: Numbers, seed: int) -> Interval:
    """Difference of two error rates on the same utterances, with the 95 % interval of a bootstrap over utterances.

    Args:
        errors, baseline: edits of every utterance with the variant and with FP32, float64[n].
        lengths: words or characters of every reference text, float64[n].
        seed: of the resampling.
    """
    found = bootstrap.paired_difference(baseline, errors, lengths, seed=seed)
    if found is None:
        return Interval(0.0, 0.0, 0.0)
    return Interval(found.difference, found.interval.low, found.interval.high)
