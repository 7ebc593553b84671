"""Fits the calibration of a model: a temperature or an isotonic map, whichever predicts unseen words better.

The sentences are divided in two. Each map is fitted on one half and predicts the other, and the one with the smaller
log-loss on the predicted halves is then fitted on all sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.errors import EvaluationError
from legato.lab.confidence import Judged, describe, log_loss
from legato.model.calibration import Calibration, Method, logit

#: Words that are needed, and right and wrong ones among them.
LEAST_WORDS, LEAST_OF_EACH = 100, 10
METHODS: tuple[Method, ...] = ("temperature", "isotonic")
_SEED = 0
_STEPS = 60
#: An isotonic map is fitted to groups of words of about the same confidence: least words of one, and most groups.
_GROUP_WORDS, _GROUPS = 20, 100


@dataclass(frozen=True)
class Fitted:
    """A calibration, and how well maps of its kind predict sentences that they were not fitted on.

    Attributes:
        calibration: fitted on all sentences.
        losses: log-loss in nats per word on the held-out halves, by method, and of the raw confidences as `raw`.
        raw, held_out: figures (see `describe`) of the raw confidences, and of the predictions of the chosen method for
            the halves that were held out.
    """

    calibration: Calibration
    losses: dict[str, float]
    raw: dict[str, Any]
    held_out: dict[str, Any]


def fit(sentences: Sequence[Judged], method: Method | None = None) -> Fitted:
    """Fit a calibration to sentences whose words were judged.

    Args:
        sentences: the words of each, with raw confidences.
        method: the kind of map; None for the one that predicts better.

    Raises:
        EvaluationError: too few words.
    """
    every = Judged.join(sentences)
    wrong = int((~every.right).sum())
    if len(every.right) < LEAST_WORDS or not LEAST_OF_EACH <= wrong <= len(every.right) - LEAST_OF_EACH:
        raise EvaluationError(
            f"A calibration needs at least {LEAST_WORDS} recognized words, {LEAST_OF_EACH} right and {LEAST_OF_EACH} "
            f"wrong. These recordings have {len(every.right)}, {wrong} of them wrong. Give more recordings."
        )
    order = np.random.default_rng(_SEED).permutation(len(sentences))
    halves = [Judged.join(sentences[number] for number in half) for half in (order[::2], order[1::2])]
    crossed = list(zip(halves, reversed(halves), strict=True))
    seen = Judged.join(halves)
    predicted = {
        each: np.concatenate([_fit(other, each).probabilities(half.confidences) for half, other in crossed])
        for each in METHODS
    }
    losses = {"raw": log_loss(seen.confidences, seen.right)}
    losses |= {each: log_loss(found, seen.right) for each, found in predicted.items()}
    chosen: Method = method or ("temperature" if losses["temperature"] <= losses["isotonic"] else "isotonic")
    raw, held_out = describe(every), describe(Judged(predicted[chosen], seen.right))
    assert raw is not None
    assert held_out is not None
    about = {
        "sentences": len(sentences), "words": len(every.right), "wrong": wrong,
        "log_loss": {name: round(loss, 5) for name, loss in losses.items()},
        "ece": {"raw": round(raw["ece"], 5), "held_out": round(held_out["ece"], 5)},
    }  # fmt: skip
    return Fitted(replace(_fit(every, chosen), fit=about), losses, raw, held_out)


def _fit(judged: Judged, method: Method) -> Calibration:
    return (_temperature if method == "temperature" else _isotonic)(judged)


def _temperature(judged: Judged) -> Calibration:
    """Return the temperature with the least log-loss, by bisection: the loss is convex in 1 / T."""
    logits = logit(judged.confidences)
    low, high = np.log(1e-2), np.log(1e2)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        slope = ((1 / (1 + np.exp(-logits * np.exp(middle))) - judged.right) * logits).sum()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return Calibration("temperature", temperature=round(float(np.exp(-low)), 4))


def _isotonic(judged: Judged) -> Calibration:
    """Return the isotonic map: pools adjacent violators, and interpolates between the centers of the pools.

    A group of n words of which k are right counts with the share (k + 1/2) / (n + 1) (Krichevsky & Trofimov 1981), so
    that no probability is 0 or 1.
    """
    pools: list[tuple[float, float, int]] = []  # mean confidence, share, words
    for confidences, right in _groups(judged):
        pool = (float(confidences.mean()), (float(right.sum()) + 0.5) / (len(right) + 1), len(right))
        while pools and pools[-1][1] >= pool[1]:
            before = pools.pop()
            words = before[2] + pool[2]
            center, share = (float(np.average([before[i], pool[i]], weights=[before[2], pool[2]])) for i in (0, 1))
            pool = center, share, words
        pools.append(pool)
    return Calibration("isotonic", points=tuple((round(center, 6), round(share, 6)) for center, share, _ in pools))


def _groups(judged: Judged) -> list[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Return the words in groups of ascending confidence; words with the same confidence are in the same group."""
    order = np.argsort(judged.confidences, kind="stable")
    confidences, right = judged.confidences[order], judged.right[order]
    size = max(_GROUP_WORDS, len(right) // _GROUPS)
    cuts, begun = [], 0
    for border in np.flatnonzero(np.diff(confidences)) + 1:
        if border - begun >= size and len(right) - border >= size:
            cuts.append(int(border))
            begun = int(border)
    return list(zip(np.split(confidences, cuts), np.split(right, cuts), strict=True))
