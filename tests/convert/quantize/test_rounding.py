"""Rounding that compensates its own error."""

import numpy as np
import pytest
from numpy.typing import NDArray

from legato.convert.quantize.integer import column_scales, quantize_columns
from legato.convert.quantize.rounding import Correlation, covariance, decompose, round_compensated

Floats = NDArray[np.float32]


def correlated(rows: int, inputs: int, seed: int) -> Floats:
    """Inputs that a few hidden values determine, with some noise."""
    mixing = np.random.default_rng(1).standard_normal((inputs // 4, inputs))
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((rows, inputs))
    return (generator.standard_normal((rows, inputs // 4)) @ mixing + 0.3 * noise).astype(np.float32)


def error(inputs: Floats, matrix: Floats, rounded: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean((inputs @ (rounded - matrix)) ** 2)))


@pytest.mark.parametrize("steps", [127, 64])
def test_on_correlated_inputs_the_error_is_lower(steps: int) -> None:
    matrix = np.random.default_rng(0).standard_normal((96, 40)).astype(np.float32)
    scales = column_scales(matrix, steps)[None]
    correlation = decompose(covariance(correlated(2000, 96, 2)), 0.01)
    integers = round_compensated(matrix, scales, steps, correlation)
    assert np.abs(integers).max() == steps
    others = correlated(500, 96, 3)
    nearest = error(others, matrix, quantize_columns(matrix, 0, steps) * scales)
    assert error(others, matrix, integers * scales) < 0.5 * nearest


@pytest.mark.parametrize("damping", [0.01, 1.0])
def test_independent_inputs_are_rounded_to_the_nearest_integer(damping: float) -> None:
    matrix = np.random.default_rng(0).standard_normal((96, 40)).astype(np.float32)
    integers = round_compensated(matrix, column_scales(matrix)[None], 127, decompose(np.eye(96), damping))
    np.testing.assert_array_equal(integers, quantize_columns(matrix, 0))


def test_compensation_minimizes_step_by_step() -> None:
    """Against the definition: after every row, the remaining rows would cancel the error best by least squares."""
    generator = np.random.default_rng(4)
    inputs = correlated(300, 8, 5).astype(np.float64)
    inputs -= inputs.mean(axis=0)
    hessian = inputs.T @ inputs / len(inputs)
    matrix = generator.standard_normal((8, 1)).astype(np.float32)
    scale = float(column_scales(matrix, 4)[0])
    correlation = decompose(hessian, 1e-9)
    got = round_compensated(matrix, np.array([[scale]], np.float32), 4, correlation)
    remaining, order = matrix[:, 0].astype(np.float64), list(correlation.order)
    for position, row in enumerate(order):
        rounded = np.clip(np.rint(remaining[row] / scale), -4, 4)
        assert got[row, 0] == rounded
        left = order[position + 1 :]
        lost = inputs[:, row] * (remaining[row] - rounded * scale)
        if left:
            remaining[left] += np.linalg.lstsq(inputs[:, left], lost, rcond=None)[0]


def test_inputs_that_never_vary() -> None:
    correlation = decompose(np.zeros((4, 4)), 0.01)
    assert isinstance(correlation, Correlation)
    matrix = np.array([[1], [-0.5], [0.25], [0]], np.float32)
    np.testing.assert_array_equal(
        round_compensated(matrix, np.array([[1 / 127]], np.float32), 127, correlation)[:, 0], [127, -64, 32, 0]
    )
