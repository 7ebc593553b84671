"""How the weights of linear layers are stored and multiplied: FP32, FP16, or INT8 with dynamic activations."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph import GraphWriter

#: Reads a weight as float32[inputs, outputs], the layout in which ONNX multiplies.
ReadMatrix = Callable[[], NDArray[np.float32]]


class Precision(Protocol):
    """Writes weights in one precision. A recipe is a class with these two methods."""

    name: str

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """Write `x @ W` for x float32[..., inputs]; W is called `name`."""
        ...

    def parameter(self, graph: GraphWriter, name: str, shape: tuple[int, ...], read: ReadMatrix) -> ir.Value:
        """Give any other large weight (convolution, embedding, table) as a float32 value."""
        ...


class Float32:
    """Weights as they are."""

    name = "fp32"

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        return graph.op("MatMul", x, self.parameter(graph, name, (inputs, outputs), read))

    def parameter(self, graph: GraphWriter, name: str, shape: tuple[int, ...], read: ReadMatrix) -> ir.Value:
        """See `Precision.parameter`."""
        return graph.weight(name, ir.DataType.FLOAT, shape, read)


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

    def __init__(self, *, unsigned: bool) -> None:
        self.unsigned = unsigned

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        dtype = ir.DataType.UINT8 if self.unsigned else ir.DataType.INT8
        zero = 128 if self.unsigned else 0
        numpy_dtype = np.uint8 if self.unsigned else np.int8
        weight = graph.weight(
            f"{name}.quantized",
            dtype,
            (inputs, outputs),
            lambda: _quantize(read(), zero).astype(numpy_dtype),
        )
        scales = graph.weight(f"{name}.scale", ir.DataType.FLOAT, (outputs,), lambda: _scales(read()))
        zeros = graph.weight(f"{name}.zero_point", dtype, (outputs,), lambda: np.full(outputs, zero, numpy_dtype))
        quantized, scale, zero_point = graph.ops("DynamicQuantizeLinear", x, outputs=3)
        product = graph.op("MatMulInteger", quantized, weight, zero_point, zeros)
        return graph.op("Mul", graph.op("Cast", product, to=int(ir.DataType.FLOAT)), graph.op("Mul", scale, scales))


def _quantize(matrix: NDArray[np.float32], zero: int) -> NDArray[np.float32]:
    quantized: NDArray[np.float32] = np.rint(matrix / _scales(matrix)) + np.float32(zero)
    return quantized


def _scales(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Symmetric scale of every output channel: float32[outputs]."""
    largest = np.abs(matrix).max(axis=0)
    return np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)
