"""SmoothQuant: outlier channels of the activations are scaled down, and the weights' rows up in return."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.integer import integer_weight, lifted
from legato.convert.quantize.per_token import SILU_DEPTH, PerRow
from legato.convert.quantize.precision import ReadMatrix, Smoothing
from legato.convert.quantize.sites import place_of


class SmoothPerRow(PerRow):
    """Per-row activations behind smoothed channels.

    Where a LayerNorm feeds the layer, the factors go into its scale and bias and cost nothing. SiLU is not linear, so
    nothing in front of it can take them: its output is multiplied by a vector. The attention's context, the encoder's
    frames and the prompt's hidden layer are left as they are.

    Args:
        ranges: weight name -> largest magnitude of every input channel on calibration audio, float32[inputs].
    """

    recipe = "per-row-smooth"

    #: 0 leaves all the spread to the activations, 1 gives all of it to the weights.
    STRENGTH = 0.5

    def __init__(self, ranges: Mapping[str, NDArray[np.float32]]) -> None:
        self._ranges = ranges
        self._known: dict[str, NDArray[np.float32]] = {}

    def smoothing(self, name: str, read: ReadMatrix) -> Smoothing | None:
        """See `Precision.smoothing`."""
        return (lambda: self._factors(name, read)) if name in self._ranges else None

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        source = place_of(name).source
        if name not in self._ranges or source not in ("norm", "silu"):
            return super().linear(graph, x, name, inputs, outputs, read)

        def smoothed() -> NDArray[np.float32]:
            return read() * self._factors(name, read)[:, None]

        if source == "norm":
            return super().linear(graph, x, name, inputs, outputs, smoothed)
        inverse = graph.weight(
            f"{name}.smoothing", ir.DataType.FLOAT, (inputs,), lambda: np.float32(1) / self._factors(name, read)
        )
        weight = integer_weight(graph, name, inputs, outputs, smoothed, narrow=self.narrow)
        return lifted(graph, graph.op("Mul", x, inverse), lambda: SILU_DEPTH / self._factors(name, read), weight)

    def _factors(self, name: str, read: ReadMatrix) -> NDArray[np.float32]:
        """What the input channels come divided by: float32[inputs]."""
        if name not in self._known:
            self._known[name] = smoothing_factors(self._ranges[name], np.abs(read()).max(axis=1), self.STRENGTH)
        return self._known[name]


class NarrowSmoothPerRow(SmoothPerRow):
    """The same with weights of 7 bits, which the fast kernels for signed weights multiply exactly on every CPU.

    They take half of the time of the others in a large batch where the CPU has VNNI, three quarters where it has not.
    """

    recipe = "per-row-smooth-7bit"
    narrow = True


def smoothing_factors(
    activations: NDArray[np.float32], weights: NDArray[np.float32], strength: float
) -> NDArray[np.float32]:
    """`a ** strength / w ** (1 - strength)` of the largest magnitudes of every channel, 1 where one of them is 0."""
    used = (activations > 0) & (weights > 0)
    a, w = (np.where(used, values, 1).astype(np.float64) for values in (activations, weights))
    return (a**strength / w ** (1 - strength)).astype(np.float32)
