"""Rounding of weights that compensates its own error (GPTQ, arXiv:2210.17323; as LDLQ in QuIP, arXiv:2307.13304).

Rounding one row of a weight (one input channel) changes the layer's output. As far as another input is correlated with
this one on the calibration recordings, changing its row before that is rounded too undoes the change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

#: Rows whose compensation is one matrix product.
_BLOCK = 128


@dataclass(frozen=True)
class Correlation:
    """How the inputs of a layer vary together, and the order in which its rows are rounded.

    Attributes:
        order: int64[inputs], the order of rounding: the strongest inputs first.
        feedback: float32[inputs, inputs], strictly upper triangular: the share of the error of row i that row j makes
            up for, in that order.
        innovation: float64[inputs], in that order: the mean square of an input that the others do not predict. The
            rounding error of a row counts by it.
    """

    order: NDArray[np.int64]
    feedback: Floats
    innovation: Doubles


def covariance(inputs: Floats) -> Floats:
    """Return the covariance of float32[n, inputs]: float32[inputs, inputs]."""
    centered = inputs - inputs.mean(axis=0)
    return np.asarray(centered.T @ centered / np.float32(len(inputs)))


def decompose(hessian: Floats | Doubles, damping: float) -> Correlation:
    """Return the correlation of inputs with the covariance `hessian`, [inputs, inputs].

    Args:
        hessian: the covariance, or any other mean of squares and products of the inputs.
        damping: the variance that is added to every input, relative to the mean variance. It limits how much is made of
            correlations that few recordings show; with a large value, rounding is to the nearest integer.
    """
    size = len(hessian)
    mean = float(np.trace(hessian)) / size
    order = np.argsort(-np.asarray(np.diag(hessian), np.float64), kind="stable")
    reverse = order[::-1]
    damped = hessian[np.ix_(reverse, reverse)]
    np.einsum("ii->i", damped)[:] += damping * mean if mean > 0 else 1.0
    # The Cholesky factor of the reversed matrix, reversed, is upper triangular: damped = factor @ factor.T.
    try:
        factor = np.linalg.cholesky(damped)
    except np.linalg.LinAlgError:  # too close to singular for 32 bits
        factor = np.linalg.cholesky(damped.astype(np.float64))
    diagonal = np.diag(factor).copy()
    factor /= diagonal
    np.einsum("ii->i", factor)[:] = 0
    return Correlation(
        order, np.ascontiguousarray(factor[::-1, ::-1], np.float32), diagonal[::-1].astype(np.float64) ** 2
    )


def round_compensated(matrix: Floats, scales: Floats, steps: int, correlation: Correlation) -> NDArray[np.int8]:
    """Return integers from `-steps` to `steps` whose products with `scales` replace a weight.

    Without correlation they are the nearest integers.

    Args:
        matrix: float32[inputs, outputs].
        scales: float32[inputs or 1, outputs], the value of one step.
        steps: integers on either side of zero, at most 127.
        correlation: that of the inputs.
    """
    order, feedback = correlation.order, correlation.feedback
    wanted = matrix[order]
    step = np.broadcast_to(scales, matrix.shape)[order]
    integers = np.empty(matrix.shape, np.int8)
    error = np.zeros_like(wanted)
    for first in range(0, len(wanted), _BLOCK):
        end = min(first + _BLOCK, len(wanted))
        adjusted = wanted[first:end] + feedback[:first, first:end].T @ error[:first]
        for row in range(first, end):
            target = adjusted[row - first] + feedback[first:row, row] @ error[first:row]
            rounded = np.clip(np.rint(target / step[row]), -steps, steps)
            integers[order[row]] = rounded
            error[row] = wanted[row] - rounded * step[row]
    return integers
