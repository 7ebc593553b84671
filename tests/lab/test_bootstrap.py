"""Bootstrap: coverage of intervals, differences in pairs and apart, Holm's correction."""

import numpy as np
import pytest

from legato.lab.bootstrap import holm, interval, paired_difference, unpaired_difference


def test_intervals_cover_what_they_promise() -> None:
    generator = np.random.default_rng(7)
    totals = np.full(60, 10)
    covered = 0
    for _ in range(200):
        bounds = interval(generator.binomial(10, 0.2, 60), totals, resamples=500)
        assert bounds is not None
        covered += bounds.low <= 0.2 <= bounds.high
    assert 176 <= covered <= 200  # 190 are expected
    assert interval([0, 0], [0, 0]) is None


def test_differences() -> None:
    generator = np.random.default_rng(8)
    totals = np.full(100, 10)
    old = generator.binomial(10, 0.1, 100)
    same = paired_difference(old, old, totals)
    assert same is not None
    assert same.difference == 0
    assert same.p_worse == same.p_better == 1
    new = old + (np.arange(100) % 5 == 0)
    worse = paired_difference(old, new, totals)
    apart = unpaired_difference(old, totals, new, totals)
    assert worse is not None
    assert apart is not None
    assert worse.difference == apart.difference == pytest.approx(0.02)
    assert worse.p_worse < 0.001 < apart.p_worse  # what both share cancels out in pairs only
    assert 0 < worse.interval.low < 0.02 < worse.interval.high
    better = paired_difference(new, old, totals)
    assert better is not None
    assert better.p_better == pytest.approx(worse.p_worse)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
