"""The search for the quantization of one linear layer: the one with the smallest error of the layer's output."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from legato.convert.graph.sites import Group, Linear, Source
from legato.convert.quantize.blocks import BLOCK
from legato.convert.quantize.per_token import SILU_DEPTH
from legato.convert.quantize.rounding import Correlation, covariance, decompose, round_compensated

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

#: Strengths of the smoothing that are tried, by the activations and, relative to that, by the weights.
_STRENGTHS = (0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
_WEIGHT_SHARES = (0.0, 0.5, 1.0)
#: The part of the error that a more complicated candidate must save.
_GAIN = 0.03
#: Damping of the correlations (see `decompose`) that is tried on recordings which were left out.
_DAMPING = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
#: Rows on which the rounding of activations is tried, and random directions in which the error of outputs is measured.
_ROWS = 768
_DIRECTIONS = 128
#: The second INT8 term of a weight divides half a step of the first into 127 steps.
_FINER = 254
#: Channels without any signal count as if they had this part of the largest one.
_FLOOR = 1e-4


class Scaling(Enum):
    """The kind of activation scale.

    Attributes:
        SYMMETRIC: 127 steps on either side of zero in every row.
        ONE_SIDED: 255 steps from zero to the largest value of every row.
        LIFTED: the same after adding 0.2785, the depth of SiLU.
        BLOCKS: 127 steps on either side in every block of 32 inputs of a row; the weights have blocks too.
    """

    SYMMETRIC = auto()
    ONE_SIDED = auto()
    LIFTED = auto()
    BLOCKS = auto()


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


@dataclass(frozen=True)
class Candidate:
    """A way to quantize the inputs of a layer.

    Attributes:
        scaling: the kind of activation scale.
        factors: float32[inputs], all 1 without smoothing.
        shift: float32[inputs], all 0 without shift.
        strength: the strength of the smoothing by the activations; 0 for none.
        terms: INT8 terms of the activations, 1 or 2; 2 only with symmetric scales.
        weight_terms: INT8 terms of the weight, 1 or 2.
    """

    scaling: Scaling
    factors: Floats
    shift: Floats
    strength: float = 0.0
    terms: int = 1
    weight_terms: int = 1

    def rounded(self, inputs: Floats) -> Floats:
        """Return float32[n, inputs] as the integers represent them."""
        if self.terms == 2:  # 15 bits
            return inputs
        x = (inputs - self.shift) / self.factors
        match self.scaling:
            case Scaling.SYMMETRIC:
                x = _symmetric(x)
            case Scaling.BLOCKS:
                x = _symmetric(x.reshape(len(x), -1, BLOCK)).reshape(x.shape)
            case Scaling.ONE_SIDED:
                x = _one_sided(x)
            case Scaling.LIFTED:
                lift = SILU_DEPTH / self.factors
                x = _one_sided(x + lift) - lift
        return np.asarray(x * self.factors + self.shift, np.float32)

    def scales(self, matrix: Floats, steps: int) -> Floats:
        """Return the value of one step of the smoothed weight, float32[blocks, outputs]."""
        smoothed = np.abs(matrix * self.factors[:, None])
        blocks = smoothed.reshape(-1, BLOCK, smoothed.shape[1]) if self.scaling is Scaling.BLOCKS else smoothed[None]
        largest = blocks.max(axis=1)
        return np.where(largest > 0, largest / np.float32(steps), np.float32(1)).astype(np.float32)


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
            layer: the linear layer.
            inputs: its inputs on the calibration recordings, float32[n, inputs].
            clips: int64[n], the index of the recording of every row.
            shiftable: whether what precedes the layer can subtract the mean of every input.
            smoothable: whether what precedes the layer can divide the inputs.
            fine: whether a second INT8 term of activations or weights is worth its time.
        """
        matrix = layer.read()
        hessian = covariance(inputs)
        damping = self._choose_damping(layer, matrix, inputs, clips)
        plain = decompose(hessian, damping)
        rows = inputs[np.linspace(0, len(inputs) - 1, min(_ROWS, len(inputs))).astype(int)]
        sketch = _sketch(matrix)
        best, least = None, np.inf
        for candidate in _candidates(layer, matrix, inputs, shiftable=shiftable, smoothable=smoothable, fine=fine):
            error = self._error(candidate, matrix, rows, sketch, plain)
            if best is None or error < least * (1 if best.strength else 1 - _GAIN):
                best, least = candidate, error
        assert best is not None
        return self._finish(best, matrix, inputs, hessian, damping)

    def _error(
        self, candidate: Candidate, matrix: Floats, rows: Floats, sketch: Floats, correlation: Correlation
    ) -> float:
        """Return the mean square of the output's error, from the activations and, as expected, from the weights."""
        difference = (candidate.rounded(rows) - rows) @ sketch
        activations = float(np.mean(np.sum(difference.astype(np.float64) ** 2, axis=1)))
        # Row i of the weight is off by a step / sqrt(12) on average, which the others cannot make up for.
        scales = candidate.scales(matrix, self._steps).astype(np.float64)
        steps = np.repeat((scales**2).sum(axis=1), len(matrix) // len(scales))[correlation.order]
        share = correlation.innovation / candidate.factors[correlation.order].astype(np.float64) ** 2
        weight = float((steps * share).sum()) / 12
        return activations + (weight if candidate.weight_terms == 1 else weight / _FINER**2)

    def _choose_damping(self, layer: Linear, matrix: Floats, inputs: Floats, clips: NDArray[np.int64]) -> float:
        """Return the damping with the smallest error on a third of the recordings, for the rounding on the others."""
        key = (layer.site.group, layer.site.source, layer.inputs)
        if key not in self._damping:
            left_out = clips % 3 == 0 if len(np.unique(clips)) > 1 else np.arange(len(clips)) % 3 == 0
            if not 0 < left_out.sum() < len(inputs):
                left_out = np.arange(len(clips)) % 2 == 0
            hessian, test = covariance(inputs[~left_out]), inputs[left_out] - inputs.mean(axis=0)
            columns = matrix[:, np.linspace(0, matrix.shape[1] - 1, min(_DIRECTIONS, matrix.shape[1])).astype(int)]
            scales = _plain(Scaling.SYMMETRIC, len(matrix)).scales(columns, self._steps)
            errors = {}
            for damping in _DAMPING:
                integers = round_compensated(columns, scales, self._steps, decompose(hessian, damping))
                errors[damping] = float(np.sum((test @ (integers * scales - columns)) ** 2))
            self._damping[key] = min(errors, key=errors.__getitem__)
        return self._damping[key]

    def _finish(
        self, candidate: Candidate, matrix: Floats, inputs: Floats, hessian: Doubles, damping: float
    ) -> Solution:
        """Round the weight, and make up for the mean error."""
        factors = candidate.factors.astype(np.float64)
        # Damped before smoothing: an input that smoothing makes large is not more certain.
        damped = hessian + damping * np.trace(hessian) / len(hessian) * np.eye(len(hessian))
        correlation = decompose(damped / np.outer(factors, factors), 1e-9)
        smoothed = matrix * candidate.factors[:, None]
        scales = candidate.scales(matrix, self._steps)
        by_row = np.repeat(scales, len(matrix) // len(scales), axis=0)
        residual = None
        if candidate.weight_terms == 2:
            integers = np.rint(smoothed / by_row).astype(np.int8)
            residual = np.rint((smoothed / by_row - integers) * _FINER).astype(np.int8)
            represented = integers + residual / _FINER
        else:
            represented = integers = round_compensated(smoothed, by_row, self._steps, correlation)
        weight = represented * by_row.astype(np.float64) / factors[:, None]
        mean = inputs.mean(axis=0, dtype=np.float64)
        offset = mean @ (matrix - weight) + candidate.shift @ weight
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


def _candidates(
    layer: Linear, matrix: Floats, inputs: Floats, *, shiftable: bool, smoothable: bool, fine: bool = False
) -> Iterator[Candidate]:
    """Yield the ways to quantize the inputs, the simplest first."""
    scalings = {
        Source.RELU: [Scaling.ONE_SIDED],
        Source.SILU: [Scaling.LIFTED, Scaling.SYMMETRIC],
    }.get(layer.site.source, [Scaling.SYMMETRIC])
    if layer.site.group is Group.JOINT and layer.inputs % BLOCK == 0:
        scalings = [Scaling.BLOCKS, *scalings]
    simple = [_plain(scaling, layer.inputs) for scaling in scalings]
    if shiftable:
        simple.append(replace(simple[0], shift=inputs.mean(axis=0)))
    yield from simple
    if fine:
        for scaling, terms in ((scalings[-1], 1), (Scaling.SYMMETRIC, 2)):
            # The joint's output is large: two terms of weights and one of activations take half of its time.
            if terms == 2 and (layer.site.group, layer.site.source) == (Group.JOINT, Source.RELU):
                continue
            for weight_terms in (1, 2):
                yield replace(_plain(scaling, layer.inputs), terms=terms, weight_terms=weight_terms)
    if not smoothable:
        return
    for candidate in simple:
        if candidate.scaling is not Scaling.BLOCKS:
            yield from _smoothed(candidate, matrix, inputs - candidate.shift)


def _smoothed(candidate: Candidate, matrix: Floats, inputs: Floats) -> Iterator[Candidate]:
    weights = _floored(np.sqrt(np.mean(matrix.astype(np.float64) ** 2, axis=1)))
    for activations in (
        np.sqrt(np.mean(inputs.astype(np.float64) ** 2, axis=0)),
        np.abs(inputs).max(axis=0).astype(np.float64),
    ):
        for strength in _STRENGTHS:
            for share in _WEIGHT_SHARES:
                factors = _floored(activations) ** strength / weights ** (strength * share)
                factors /= np.exp(np.log(factors).mean())
                yield replace(candidate, factors=factors.astype(np.float32), strength=strength)


def _plain(scaling: Scaling, inputs: int) -> Candidate:
    return Candidate(scaling, np.ones(inputs, np.float32), np.zeros(inputs, np.float32))


def _floored(values: Doubles) -> Doubles:
    return np.asarray(np.maximum(values, max(float(values.max()) * _FLOOR, 1e-30)))


def _sketch(matrix: Floats) -> Floats:
    """Return the weight with its outputs mixed to a few random directions, which keeps mean squares of errors."""
    if matrix.shape[1] <= _DIRECTIONS:
        return matrix
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (matrix.shape[1], _DIRECTIONS))
    return np.asarray(matrix @ (signs / np.sqrt(_DIRECTIONS)).astype(np.float32))


def _symmetric(x: Floats) -> Floats:
    largest = np.abs(x).max(axis=-1, keepdims=True)
    step = np.where(largest > 0, largest, 1) / np.float32(127)
    return np.asarray(np.rint(x / step) * step, np.float32)


def _one_sided(x: Floats) -> Floats:
    largest = x.max(axis=-1, keepdims=True)
    step = np.where(largest > 0, largest, 1) / np.float32(255)
    return np.asarray(np.clip(np.rint(x / step), 0, 255) * step, np.float32)
