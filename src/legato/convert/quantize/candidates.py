"""The ways to quantize the inputs of a linear layer, among which `search` chooses."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from legato.convert.graph.sites import Group, Linear, Source
from legato.convert.quantize.blocks import BLOCK
from legato.convert.quantize.per_token import SILU_DEPTH

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

#: Strengths of the smoothing that are tried, by the activations and, relative to that, by the weights.
_STRENGTHS = (0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
_WEIGHT_SHARES = (0.0, 0.5, 1.0)
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
                _symmetric(x)
            case Scaling.BLOCKS:
                _symmetric(x.reshape(len(x), -1, BLOCK))
            case Scaling.ONE_SIDED:
                _one_sided(x)
            case Scaling.LIFTED:
                lift = SILU_DEPTH / self.factors
                x += lift
                _one_sided(x)
                x -= lift
        x *= self.factors
        x += self.shift
        return x

    def scales(self, matrix: Floats, steps: int) -> Floats:
        """Return the value of one step of the smoothed weight, float32[blocks, outputs]."""
        smoothed = np.abs(matrix * self.factors[:, None])
        blocks = smoothed.reshape(-1, BLOCK, smoothed.shape[1]) if self.scaling is Scaling.BLOCKS else smoothed[None]
        largest = blocks.max(axis=1)
        return np.where(largest > 0, largest / np.float32(steps), np.float32(1)).astype(np.float32)


def candidates(
    layer: Linear, matrix: Floats, inputs: Floats, *, shiftable: bool, smoothable: bool, fine: bool
) -> tuple[list[Candidate], Iterator[Candidate]]:
    """Return the ways to quantize the inputs: those without smoothing, the simplest first, and those with it."""
    scalings = {
        Source.RELU: [Scaling.ONE_SIDED],
        Source.SILU: [Scaling.LIFTED, Scaling.SYMMETRIC],
    }.get(layer.site.source, [Scaling.SYMMETRIC])
    if layer.site.group is Group.JOINT and layer.inputs % BLOCK == 0:
        scalings = [Scaling.BLOCKS, *scalings]
    simple = [plain(scaling, layer.inputs) for scaling in scalings]
    if shiftable:
        simple.append(replace(simple[0], shift=inputs.mean(axis=0)))
    terms = list(_second_terms(layer, scalings[-1])) if fine else []
    divided = [candidate for candidate in simple if smoothable and candidate.scaling is not Scaling.BLOCKS]
    smoothed = (found for candidate in divided for found in _smoothed(candidate, matrix, inputs - candidate.shift))
    return simple + terms, smoothed


def _second_terms(layer: Linear, scaling: Scaling) -> Iterator[Candidate]:
    for kind, terms in ((scaling, 1), (Scaling.SYMMETRIC, 2)):
        # The joint's output is large: two terms of weights and one of activations take half of its time.
        if terms == 2 and (layer.site.group, layer.site.source) == (Group.JOINT, Source.RELU):
            continue
        for weight_terms in (1, 2):
            yield replace(plain(kind, layer.inputs), terms=terms, weight_terms=weight_terms)


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


def plain(scaling: Scaling, inputs: int) -> Candidate:
    """Return the candidate without smoothing and shift."""
    return Candidate(scaling, np.ones(inputs, np.float32), np.zeros(inputs, np.float32))


def _floored(values: Doubles) -> Doubles:
    return np.asarray(np.maximum(values, max(float(values.max()) * _FLOOR, 1e-30)))


def _symmetric(x: Floats) -> None:
    """Round in place."""
    _round(x, np.maximum(x.max(axis=-1, keepdims=True), -x.min(axis=-1, keepdims=True)), 127)


def _one_sided(x: Floats) -> None:
    """Round in place, negative values to zero."""
    np.maximum(x, 0, out=x)
    _round(x, x.max(axis=-1, keepdims=True), 255)


def _round(x: Floats, largest: Floats, steps: int) -> None:
    step = np.where(largest > 0, largest, 1) / np.float32(steps)
    x /= step
    np.rint(x, out=x)
    x *= step
