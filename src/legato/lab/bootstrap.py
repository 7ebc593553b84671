"""Confidence intervals of error rates and of their differences, by bootstrap over utterances.

Utterances are drawn instead of words, because the errors within an utterance are correlated. The same numbers and seed
give the same result.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
_LEVEL = 0.95
#: Size of the largest block of draws that is made at a time, in numbers.
_CELLS = 2_000_000
#: Size of the largest set of draws that is cached, in numbers (uint16: 40 MB): one set serves many rates.
_KEPT_CELLS = 20_000_000

Numbers = Sequence[float] | NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of a confidence interval. `level` is the confidence."""

    low: float
    high: float
    level: float = _LEVEL


@dataclass(frozen=True, slots=True)
class Difference:
    """The rate of `new` minus the rate of `old`.

    Attributes:
        difference: the observed difference; positive is worse.
        interval: its confidence interval.
        p_worse: one-sided p-value of the hypothesis that `new` is no worse.
        p_better: one-sided p-value of the hypothesis that `new` is no better.
    """

    difference: float
    interval: Interval
    p_worse: float
    p_better: float


def interval(errors: Numbers, totals: Numbers, *, resamples: int = RESAMPLES) -> Interval | None:
    """Return the percentile interval of the rate sum(errors) / sum(totals).

    Args:
        errors: errors of each utterance.
        totals: units of each utterance's reference.

    Returns:
        The interval; None if the sum of the totals is 0.
    """
    errors, totals = _pair(errors, totals)
    if not totals.sum():
        return None
    rates = np.concatenate([_rate(draws @ errors, draws @ totals) for draws in _draws(len(errors), resamples, 0)])
    return _percentiles(rates)


def paired_difference(
    old_errors: Numbers,
    new_errors: Numbers,
    totals: Numbers,
    *,
    new_totals: Numbers | None = None,
    seed: int = 0,
) -> Difference | None:
    """Return the difference of two rates on the same utterances: both are drawn together, so shared variance cancels.

    Args:
        old_errors, new_errors: errors of each utterance, in the same order.
        totals: units of each utterance's reference.
        new_totals: the totals of `new`, if they differ.

    Returns:
        The difference; None if the sum of the totals is 0.
    """
    old_errors, old_totals = _pair(old_errors, totals)
    new_errors, new_sums = _pair(new_errors, totals if new_totals is None else new_totals)
    if len(old_errors) != len(new_errors):
        raise ValueError(f"{len(old_errors)} and {len(new_errors)} utterances: a pair needs the same ones")
    if not (old_totals.sum() and new_sums.sum()):
        return None
    found = np.concatenate(
        [
            _rate(draws @ new_errors, draws @ new_sums) - _rate(draws @ old_errors, draws @ old_totals)
            for draws in _draws(len(old_errors), RESAMPLES, seed)
        ]
    )
    observed = float(new_errors.sum() / new_sums.sum() - old_errors.sum() / old_totals.sum())
    return _difference(observed, found)


def unpaired_difference(
    old_errors: Numbers,
    old_totals: Numbers,
    new_errors: Numbers,
    new_totals: Numbers,
) -> Difference | None:
    """Return the difference of two rates on different utterances; arguments as for `paired_difference`."""
    old_errors, old_totals = _pair(old_errors, old_totals)
    new_errors, new_totals = _pair(new_errors, new_totals)
    if not (old_totals.sum() and new_totals.sum()):
        return None
    old, new = (
        np.concatenate([_rate(draws @ errors, draws @ totals) for draws in _draws(len(errors), RESAMPLES, seed)])
        for errors, totals, seed in ((old_errors, old_totals, 0), (new_errors, new_totals, 1))
    )
    observed = float(new_errors.sum() / new_totals.sum() - old_errors.sum() / old_totals.sum())
    return _difference(observed, new - old)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several tests (Holm 1979), so that the threshold holds for all tests together."""
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = largest
    return adjusted


def _pair(errors: Numbers, totals: Numbers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(errors, np.float64), np.asarray(totals, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"errors and totals differ in length: shapes {first.shape} and {second.shape}")
    return first, second


def _draws(utterances: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each utterance is drawn, float64[n, utterances], in blocks that add up to `resamples` rows."""
    kept = utterances * resamples <= _KEPT_CELLS
    for block in _kept_draws(utterances, resamples, seed) if kept else _new_draws(utterances, resamples, seed):
        yield block.astype(np.float64)


@lru_cache(maxsize=2)
def _kept_draws(utterances: int, resamples: int, seed: int) -> list[NDArray[np.uint16]]:
    return list(_new_draws(utterances, resamples, seed))


def _new_draws(utterances: int, resamples: int, seed: int) -> Iterator[NDArray[np.uint16]]:
    generator = np.random.default_rng(seed)
    rows = max(1, _CELLS // utterances)
    shares = np.full(utterances, 1 / utterances)
    for start in range(0, resamples, rows):
        yield generator.multinomial(utterances, shares, size=min(rows, resamples - start)).astype(np.uint16)


def _rate(errors: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rates; a draw with only empty references counts as free of errors."""
    return np.divide(errors, totals, out=np.zeros_like(errors), where=totals > 0)


def _percentiles(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(low), float(high))


def _difference(observed: float, found: NDArray[np.float64]) -> Difference:
    # One is added to both counts, because a finite number of draws never shows a probability of exactly 0.
    worse = (1 + int((found <= 0).sum())) / (1 + len(found))
    better = (1 + int((found >= 0).sum())) / (1 + len(found))
    return Difference(observed, _percentiles(found), worse, better)
