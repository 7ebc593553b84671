"""The search for the quantization of one linear layer: the one with the smallest error of the layer's output."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from legato.convert.graph.sites import Group, Linear, Source
from legato.convert.quantize.candidates import Candidate, Floats, Scaling, candidates, plain
from legato.convert.quantize.per_token import SILU_DEPTH
from legato.convert.quantize.rounding import Correlation, covariance, decompose, round_compensated

_T = TypeVar("_T", bound=np.generic)

#: The part of the error that a more complicated candidate must save.
_GAIN = 0.03
#: Damping of the correlations (see `decompose`) that is tried on recordings which were left out.
_DAMPING = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
#: Inputs of a layer on which it is tried.
_DAMPING_INPUTS = 1024
#: Rows on which the rounding of activations is tried: by all candidates, and by the best smoothed ones of them.
_ROWS = (192, 768)
_BEST = 4
#: Random directions in which the error of outputs is measured, and outputs whose scales stand for all.
_DIRECTIONS = 128
#: The second INT8 term of a weight divides half a step of the first into 127 steps.
_FINER = 254


@dataclass(frozen=True)
class Solution:
    """The quantization of one linear layer: `x @ W` becomes `quantized((x - shift) / factors) @ weight + offset`.

    Attributes:
        scaling: the kind of activation scale.
        integers: int8[inputs, outputs] from -127 or -64 to 127 or 64.
        scales: float32[blocks, outputs], the value of one step; one block except for `Scaling.BLOCKS`.
        factors: float32[inputs], or None for no smoothing.
        shift: float32[inputs], the mean of every input, or None for no shift.
        offset: float32[outputs]: what the shift takes away, and the mean error of the rounded weights.
        strength: the strength of the smoothing by the activations; 0 for none.
        steps: integers on either side of zero.
        terms: INT8 terms of the activations, 1 or 2.
        residual: int8[inputs, outputs], the second term of the weight in units of `scales / 254`, or None.
    """

    scaling: Scaling
    integers: NDArray[np.int8]
    scales: Floats
    factors: Floats | None
    shift: Floats | None
    offset: Floats
    strength: float
    steps: int
    terms: int = 1
    residual: NDArray[np.int8] | None = None


class Search:
    """Quantizes linear layers one after the other.

    Args:
        steps: integers on either side of zero in a weight: 127 or 64.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._damping: dict[tuple[Group, Source, int], float] = {}

    def solve(
        self,
        layer: Linear,
        inputs: Floats,
        clips: NDArray[np.int64],
        *,
        shiftable: bool,
        smoothable: bool,
        fine: bool = False,
    ) -> Solution:
        """Return the quantization with the smallest error of the output.

        Args:
            inputs: its inputs on the calibration recordings, float32[n, inputs].
            clips: int64[n], the index of the recording of every row.
            shiftable: whether what precedes the layer can subtract the mean of every input.
            smoothable: whether what precedes the layer can divide the inputs.
            fine: whether a second INT8 term of activations or weights is worth its time.
        """
        matrix = layer.read()
        correlation = decompose(covariance(inputs), self._choose_damping(layer, matrix, inputs, clips))
        trial = _Trial(matrix, self._steps, correlation)
        few, many = (_spread(inputs, rows) for rows in _ROWS)
        simple, smoothed = candidates(layer, matrix, inputs, shiftable=shiftable, smoothable=smoothable, fine=fine)
        finalists = sorted(smoothed, key=lambda candidate: trial.estimate(candidate, few))[:_BEST]
        best, least = None, np.inf
        for candidate in [*simple, *finalists]:
            error = trial.error(candidate, many)
            if best is None or error < least * (1 if best.strength else 1 - _GAIN):
                best, least = candidate, error
        assert best is not None
        return self._finish(best, matrix, inputs, correlation)

    def _choose_damping(self, layer: Linear, matrix: Floats, inputs: Floats, clips: NDArray[np.int64]) -> float:
        """Return the damping with the smallest error on a third of the recordings, for the rounding on the others.

        How much of the correlations can be trusted depends on the number of rows for each input, so that of a wide
        layer is chosen on a part of its inputs and as small a part of the rows.
        """
        key = (layer.site.group, layer.site.source, layer.inputs)
        if key not in self._damping:
            if len(matrix) > _DAMPING_INPUTS:
                some = _spread(np.arange(len(matrix)), _DAMPING_INPUTS)
                rows = _spread(np.arange(len(inputs)), len(inputs) * _DAMPING_INPUTS // len(matrix))
                matrix, inputs, clips = matrix[some], inputs[np.ix_(rows, some)], clips[rows]
            left_out = clips % 3 == 0 if len(np.unique(clips)) > 1 else np.arange(len(clips)) % 3 == 0
            if not 0 < left_out.sum() < len(inputs):
                left_out = np.arange(len(clips)) % 2 == 0
            hessian, test = covariance(inputs[~left_out]), inputs[left_out] - inputs.mean(axis=0)
            columns = _spread(matrix.T, _DIRECTIONS).T
            scales = plain(Scaling.SYMMETRIC, len(matrix)).scales(columns, self._steps)
            errors = {}
            for damping in _DAMPING:
                integers = round_compensated(columns, scales, self._steps, decompose(hessian, damping))
                errors[damping] = float(np.sum((test @ (integers * scales - columns)) ** 2))
            self._damping[key] = min(errors, key=errors.__getitem__)
        return self._damping[key]

    def _finish(self, candidate: Candidate, matrix: Floats, inputs: Floats, correlation: Correlation) -> Solution:
        """Round the weight, and make up for the mean error."""
        scales = candidate.scales(matrix, self._steps)
        # Rounding the smoothed weight with these scales is rounding the weight itself with a step for every row.
        by_row = np.repeat(scales, len(matrix) // len(scales), axis=0) / candidate.factors[:, None]
        residual = None
        if candidate.weight_terms == 2:
            exact = matrix / by_row
            integers = np.rint(exact).astype(np.int8)
            residual = np.rint((exact - integers) * _FINER).astype(np.int8)
            weight = (integers + residual / np.float32(_FINER)) * by_row
        else:
            integers = round_compensated(matrix, by_row, self._steps, correlation)
            weight = integers * by_row
        mean = inputs.mean(axis=0, dtype=np.float64)
        offset = mean @ (matrix - weight) + candidate.shift.astype(np.float64) @ weight
        if candidate.scaling is Scaling.LIFTED:
            offset = offset - np.full(len(matrix), float(SILU_DEPTH)) @ weight
        smooth, shifted = bool(candidate.strength), bool(np.any(candidate.shift))
        return Solution(
            candidate.scaling,
            integers,
            scales,
            candidate.factors if smooth else None,
            candidate.shift if shifted else None,
            offset.astype(np.float32),
            candidate.strength,
            self._steps,
            candidate.terms,
            residual,
        )


class _Trial:
    """The expected error of a layer's output with a candidate.

    Args:
        matrix: the weight, float32[inputs, outputs].
        steps: integers on either side of zero in a weight.
        correlation: that of the inputs.
    """

    def __init__(self, matrix: Floats, steps: int, correlation: Correlation) -> None:
        self._steps, self._correlation = steps, correlation
        self._sketch = _sketch(matrix)
        self._power = np.sum(matrix.astype(np.float64) ** 2, axis=1)
        self._columns = _spread(matrix.T, _DIRECTIONS).T.copy()
        self._outputs_per_column = matrix.shape[1] / self._columns.shape[1]

    def error(self, candidate: Candidate, rows: Floats) -> float:
        """Return the mean square of the output's error, from the activations and, as expected, from the weights."""
        difference = (candidate.rounded(rows) - rows) @ self._sketch
        return float(np.mean(np.sum(difference.astype(np.float64) ** 2, axis=1))) + self._weight_error(candidate)

    def estimate(self, candidate: Candidate, rows: Floats) -> float:
        """Return the same as if the rounding of one input were independent of that of the others, which is quicker."""
        difference = candidate.rounded(rows) - rows
        return float(np.mean(difference**2, axis=0) @ self._power) + self._weight_error(candidate)

    def _weight_error(self, candidate: Candidate) -> float:
        # Row i of the weight is off by a step / sqrt(12) on average, which the others cannot make up for.
        order, innovation = self._correlation.order, self._correlation.innovation
        scales = candidate.scales(self._columns, self._steps).astype(np.float64)
        steps = np.repeat((scales**2).sum(axis=1), len(self._columns) // len(scales))[order]
        share = innovation / candidate.factors[order].astype(np.float64) ** 2
        weight = float((steps * share).sum() * self._outputs_per_column / 12)
        return weight / (1 if candidate.weight_terms == 1 else float(_FINER) ** 2)


def _sketch(matrix: Floats) -> Floats:
    """Return the weight with its outputs mixed to a few random directions, which keeps mean squares of errors."""
    if matrix.shape[1] <= _DIRECTIONS:
        return matrix
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (matrix.shape[1], _DIRECTIONS))
    return np.asarray(matrix @ (signs / np.sqrt(_DIRECTIONS)).astype(np.float32))


def _spread(rows: NDArray[_T], count: int) -> NDArray[_T]:
    """Return at most `count` rows, evenly from all."""
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)])
