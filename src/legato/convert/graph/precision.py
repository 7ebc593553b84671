"""How weights are stored and multiplied: the interface of a precision, FP32, and FP16. `quantize` has the INT8 ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.sites import Linear, ReadMatrix
from legato.convert.graph.writer import GraphWriter

#: Computes float32[inputs].
ReadVector = Callable[[], NDArray[np.float32]]


@dataclass(frozen=True)
class Smoothing:
    """What a linear layer expects of its input: `(x - shift) / factors` instead of x.

    Attributes:
        factors: computes the factors, float32[inputs].
        shift: computes the shift, float32[inputs]; None for no shift.
    """

    factors: ReadVector
    shift: ReadVector | None = None


class Precision(Protocol):
    """Writes weights, and products with them, in one precision.

    Attributes:
        name: `fp32`, `fp16` or `int8`.
        recipe: name of the INT8 recipe; empty for other precisions.
        reduce_range: whether its INT8 weights are signed and have 7 bits (see `integer_weight`).
    """

    name: str
    recipe: str
    reduce_range: bool

    @property
    def transducer(self) -> "Precision":
        """The precision of the prediction net and the joint that go with an encoder in this precision."""
        ...

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """Write `x @ W` for x float32[..., inputs] and return float32[..., outputs]."""
        ...

    def parameter(self, graph: GraphWriter, name: str, shape: tuple[int, ...], read: ReadMatrix) -> ir.Value:
        """Write any other large weight (convolution, embedding, table) and return it as a float32 value."""
        ...

    def smoothing(self, layer: Linear) -> Smoothing | None:
        """Return how `linear` expects the input of a layer after a LayerNorm to be shifted and divided.

        The LayerNorm absorbs both into its scale and bias, so they cost nothing at run time. None means neither.
        """
        ...


class Float32:
    """Weights in FP32, as in the checkpoint."""

    name = "fp32"
    recipe = ""
    reduce_range = False

    @property
    def transducer(self) -> Precision:
        """See `Precision.transducer`."""
        return self

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        return graph.op("MatMul", x, self.parameter(graph, layer.name, (layer.inputs, layer.outputs), layer.read))

    def parameter(self, graph: GraphWriter, name: str, shape: tuple[int, ...], read: ReadMatrix) -> ir.Value:
        """See `Precision.parameter`."""
        return graph.weight(name, ir.DataType.FLOAT, shape, read)

    def smoothing(self, layer: Linear) -> Smoothing | None:
        """See `Precision.smoothing`."""
        return None


class Float16(Float32):
    """Weights stored in FP16 and converted to FP32 when the model is loaded: half the file size, FP32 arithmetic."""

    name = "fp16"

    def parameter(self, graph: GraphWriter, name: str, shape: tuple[int, ...], read: ReadMatrix) -> ir.Value:
        """See `Precision.parameter`. Values beyond the range of FP16 are clipped to it."""
        largest = float(np.finfo(np.float16).max)
        half = graph.weight(
            name, ir.DataType.FLOAT16, shape, lambda: np.clip(read(), -largest, largest).astype(np.float16)
        )
        return graph.op("Cast", half, to=int(ir.DataType.FLOAT))
