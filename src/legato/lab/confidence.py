"""How well confidences say which words are right: reliability, calibration error, and what a threshold keeps.

A word of the hypothesis is right if it is equal to the word of the reference that it is aligned with. Missed words have
no confidence and do not count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.lab.normalize import Normalizer
from legato.lab.scoring import UNSPACED_LANGUAGES, align, base, characters, words

#: Bins of the same width for the reliability curve and the calibration error, as in Guo et al. 2017 (arXiv:1706.04599).
BINS = 15
#: Confidences below which words may be left out or marked.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_LEAST = 1e-4


@dataclass(frozen=True)
class Judged:
    """Words with their confidences.

    Attributes:
        confidences: float64[n].
        right: bool[n], whether each word is right.
    """

    confidences: NDArray[np.float64]
    right: NDArray[np.bool_]

    @classmethod
    def join(cls, parts: Iterable["Judged"]) -> "Judged":
        """Return the words of all parts."""
        found = [cls(np.zeros(0), np.zeros(0, bool)), *parts]
        return cls(np.concatenate([each.confidences for each in found]), np.concatenate([each.right for each in found]))


def judge(
    spoken: Sequence[tuple[str, float]], reference: str, normal: Normalizer, language: str | None = None
) -> Judged:
    """Compare the words of a hypothesis with a reference.

    Each word is normalized alone, so that it keeps its confidence. It is right if all units that it gives are. One that
    gives none, such as a filler, is left out.

    Args:
        spoken: the words and their confidences, in order.
        reference: the text that was said, as it is.
        normal: makes words comparable.
        language: languages without spaces are compared by character.
    """
    unspaced = base(language) in UNSPACED_LANGUAGES

    def units(word: str) -> list[str]:
        return characters(normal(word), language) if unspaced else words(normal(word))

    found = [(units(word), confidence) for word, confidence in spoken]
    said = [unit for word in reference.split() for unit in units(word)]
    equal: list[bool] = []
    for span in align(said, [unit for own, _ in found for unit in own]):
        equal += [span.kind == "equal"] * len(span.hypothesis)
    confidences, right, place = [], [], 0
    for own, confidence in found:
        if own:
            confidences.append(confidence)
            right.append(all(equal[place : place + len(own)]))
            place += len(own)
    return Judged(np.array(confidences, np.float64), np.array(right, bool))


def describe(judged: Judged) -> dict[str, Any] | None:
    """Return the figures of a report as plain values; None without words.

    `ece` is the expected calibration error: the mean distance, over the words, between the confidence and the share of
    right words of a bin. `nce` is NIST's normalized cross entropy: the share of the entropy of right and wrong that the
    confidences remove, 1 at best and below 0 if they are worse than the overall share; None if all words are right or
    all are wrong. `bins` is the reliability curve; `kept` has for each threshold the share of words with this
    confidence or more, the share of wrong ones among them, and the share of wrong ones among the others.
    """
    confidences, right = judged.confidences, judged.right
    count = len(right)
    if not count:
        return None
    number = np.minimum((confidences * BINS).astype(int), BINS - 1)
    bins = [
        {
            "low": round(each / BINS, 4),
            "high": round((each + 1) / BINS, 4),
            "words": int(inside.sum()),
            "confidence": float(confidences[inside].mean()),
            "right": float(right[inside].mean()),
        }
        for each in range(BINS)
        if (inside := number == each).any()
    ]
    share = float(right.mean())
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share)) if 0 < share < 1 else None
    return {
        "words": count,
        "right": share,
        "ece": sum(each["words"] * abs(each["confidence"] - each["right"]) for each in bins) / count,
        "log_loss": (loss := log_loss(confidences, right)),
        "nce": None if entropy is None else float(1 - loss / entropy),
        "bins": bins,
        "kept": [_kept(confidences, right, threshold) for threshold in THRESHOLDS],
    }


def log_loss(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the mean negative log-likelihood in nats; confidences are cut off at 0.0001 and 0.9999."""
    sure = np.clip(confidences, _LEAST, 1 - _LEAST)
    return float(-np.log(np.where(right, sure, 1 - sure)).mean())


def _kept(confidences: NDArray[np.float64], right: NDArray[np.bool_], threshold: float) -> dict[str, float | None]:
    keep = confidences >= threshold
    return {
        "threshold": threshold,
        "kept": float(keep.mean()),
        "wrong": float(1 - right[keep].mean()) if keep.any() else None,
        "wrong_below": float(1 - right[~keep].mean()) if not keep.all() else None,
    }
