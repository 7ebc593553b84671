"""How the weights of linear layers are stored and multiplied: FP32, FP16, or INT8 with dynamic activations."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.writer import GraphWriter

#: Integers to either side of zero in an INT8 weight.
STEPS = 127

#: Reads a weight as float32[inputs, outputs], the layout in which ONNX multiplies.
ReadMatrix = Callable[[], NDArray[np.float32]]


#: Computes float32[inputs], the factors by which the inputs of a linear layer come divided.
Smoothing = Callable[[], NDArray[np.float32]]


class Precision(Protocol):
    """Writes weights in one precision.

    Attributes:
        name: `fp32`, `fp16` or `int8`.
        recipe: name of the INT8 recipe, empty for other precisions.
        narrow: its INT8 weights are signed and of 7 bits (see `integer_weight`).
    """

    name: str
    recipe: str
    narrow: bool

    @property
    def transducer(self) -> "Precision":
        """Precision of the prediction net and the joint beside an encoder in this one."""
        ...

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """Write `x @ W` for x float32[..., inputs]; W is called `name`."""
        ...

    def parameter(self, graph: GraphWriter, name: str, shape: tuple[int, ...], read: ReadMatrix) -> ir.Value:
        """Give any other large weight (convolution, embedding, table) as a float32 value."""
        ...

    def smoothing(self, name: str, read: ReadMatrix) -> Smoothing | None:
        """Factors by which `linear` expects the input of weight `name` divided, where a LayerNorm makes that input.

        The LayerNorm takes them into its scale and bias, so that they cost nothing.
        """
        ...


class Float32:
    """Weights as they are."""

    name = "fp32"
    recipe = ""
    narrow = False

    @property
    def transducer(self) -> Precision:
        """See `Precision.transducer`."""
        return self

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        return graph.op("MatMul", x, self.parameter(graph, name, (inputs, outputs), read))

    def parameter(self, graph: GraphWriter, name: str, shape: tuple[int, ...], read: ReadMatrix) -> ir.Value:
        """See `Precision.parameter`."""
        return graph.weight(name, ir.DataType.FLOAT, shape, read)

    def smoothing(self, name: str, read: ReadMatrix) -> Smoothing | None:
        """See `Precision.smoothing`."""
        return None


class Float16(Float32):
    """Weights stored in half precision and widened when the model is loaded: half the file, FP32 arithmetic."""

    name = "fp16"

    def parameter(self, graph: GraphWriter, name: str, shape: tuple[int, ...], read: ReadMatrix) -> ir.Value:
        """See `Precision.parameter`."""
        largest = float(np.finfo(np.float16).max)
        half = graph.weight(
            name, ir.DataType.FLOAT16, shape, lambda: np.clip(read(), -largest, largest).astype(np.float16)
        )
        return graph.op("Cast", half, to=int(ir.DataType.FLOAT))


class DynamicInt8(Float32):
    """The published recipe: one symmetric INT8 scale an output channel, activations quantized a tensor at a time.

    With `unsigned` the same integers are stored with zero point 128. CPUs without VNNI multiply U8 by S8 through 16-bit
    sums that saturate silently, U8 by U8 exactly; the results are otherwise equal.
    """

    name = "int8"
    recipe = "reference"

    def __init__(self, *, unsigned: bool) -> None:
        self.unsigned = unsigned

    def scales(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scale of every output channel of a weight float32[inputs, outputs]: float32[outputs]."""
        return column_scales(matrix)

    @property
    def transducer(self) -> Precision:
        """FP32: the published recipe quantizes the encoder only."""
        return Float32()

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        dtype = ir.DataType.UINT8 if self.unsigned else ir.DataType.INT8
        zero = 128 if self.unsigned else 0
        numpy_dtype = np.uint8 if self.unsigned else np.int8

        def quantized() -> NDArray[np.generic]:
            matrix = read()
            integers: NDArray[np.generic] = (np.rint(matrix / self.scales(matrix)) + zero).astype(numpy_dtype)
            return integers

        weight = graph.weight(f"{name}.quantized", dtype, (inputs, outputs), quantized)
        scales = graph.weight(f"{name}.scale", ir.DataType.FLOAT, (outputs,), lambda: self.scales(read()))
        zeros = graph.weight(f"{name}.zero_point", dtype, (outputs,), lambda: np.full(outputs, zero, numpy_dtype))
        x_quantized, scale, zero_point = graph.ops("DynamicQuantizeLinear", x, outputs=3)
        product = graph.op("MatMulInteger", x_quantized, weight, zero_point, zeros)
        return graph.op("Mul", graph.op("Cast", product, to=int(ir.DataType.FLOAT)), graph.op("Mul", scale, scales))


def quantize_columns(matrix: NDArray[np.float32], zero: int, steps: int = STEPS) -> NDArray[np.float32]:
    """Integers of a weight in -steps..steps plus `zero`, one symmetric scale an output channel: [inputs, outputs]."""
    quantized: NDArray[np.float32] = np.rint(matrix / column_scales(matrix, steps)) + np.float32(zero)
    return quantized


def column_scales(matrix: NDArray[np.float32], steps: int = STEPS) -> NDArray[np.float32]:
    """Symmetric scale of every output channel: float32[outputs]."""
    largest = np.abs(matrix).max(axis=0)
    return np.where(largest > 0, largest / np.float32(steps), np.float32(1)).astype(np.float32)
