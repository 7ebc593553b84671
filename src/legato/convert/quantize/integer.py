"""Exact integer products in stock ONNX Runtime operators.

Weights are U8 with zero point 128: CPUs without VNNI multiply U8 by S8 through 16-bit sums that saturate silently, and
U8 by U8 exactly. The result of a row depends on that row alone, bit by bit: its scale is computed from its own values,
and integer sums are exact in any order. Rows are scaled to the same range first, so `QuantizeLinear` takes one constant
scale. The scaling, the reductions and the product are single operators over whole tensors, and all but the product cost
almost nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import MICROSOFT, GraphWriter

#: Reads a small weight as float32[inputs].
ReadVector = Callable[[], NDArray[np.float32]]

ZERO = 128
#: Integers on either side of zero in an INT8 weight, and in one with a reduced range of 7 bits.
STEPS = 127
REDUCED_STEPS = 64


def column_scales(matrix: NDArray[np.float32], steps: int = STEPS) -> NDArray[np.float32]:
    """Return the symmetric scale of every output channel of float32[inputs, outputs]: float32[outputs]."""
    largest = np.abs(matrix).max(axis=0)
    return np.where(largest > 0, largest / np.float32(steps), np.float32(1)).astype(np.float32)


def quantize_columns(matrix: NDArray[np.float32], zero: int, steps: int = STEPS) -> NDArray[np.float32]:
    """Return the integers of a weight, from `zero - steps` to `zero + steps`, as float32[inputs, outputs].

    Every output channel has a symmetric scale of its own, see `column_scales`.
    """
    quantized: NDArray[np.float32] = np.rint(matrix / column_scales(matrix, steps)) + np.float32(zero)
    return quantized


#: Returns the integers of a weight around zero, [inputs, outputs], and their scales, float32[outputs].
Rounded = Callable[[], tuple[NDArray[np.generic], NDArray[np.float32]]]


@dataclass(frozen=True)
class IntegerWeight:
    """The quantized weight of one linear layer in a graph, with one scale per output channel.

    Attributes:
        layer: the linear layer.
        values: uint8[inputs, outputs] with zero point 128; with reduced range int8[inputs, outputs] from -64 to 64.
        scales: float32[outputs].
        zeros: the zero points, [outputs] of the type of `values`.
        read: returns the integers around zero, and the scales.
    """

    layer: Linear
    values: ir.Value
    scales: ir.Value
    zeros: ir.Value
    read: Rounded

    def rounded(self) -> NDArray[np.float64]:
        """Read the weight that the integers represent: float64[inputs, outputs]."""
        integers, scales = self.read()
        return np.asarray(integers.astype(np.float64) * scales)


def integer_weight(
    graph: GraphWriter, layer: Linear, *, reduce_range: bool = False, rounded: Rounded | None = None
) -> IntegerWeight:
    """Add a weight that is quantized when the graph is saved.

    With `reduce_range` it is signed and has 129 steps instead of 255. Twice 255 * 64 fits into 16 bits, so the fast
    kernels for signed weights are exact on every CPU.

    Args:
        reduce_range: whether the weight has 7 bits.
        rounded: returns integers and scales; the default rounds to the nearest integers (see `quantize_columns`).
    """
    name, outputs = layer.name, layer.outputs
    dtype, numpy_dtype = (ir.DataType.INT8, np.int8) if reduce_range else (ir.DataType.UINT8, np.uint8)
    zero, steps = (0, REDUCED_STEPS) if reduce_range else (ZERO, STEPS)

    def nearest() -> tuple[NDArray[np.generic], NDArray[np.float32]]:
        matrix = layer.read()
        return quantize_columns(matrix, 0, steps), column_scales(matrix, steps)

    read = rounded or nearest
    values = graph.weight(
        f"{name}.quantized",
        dtype,
        (layer.inputs, outputs),
        lambda: (read()[0].astype(np.int16) + zero).astype(numpy_dtype),
    )
    scales = graph.weight(f"{name}.scale", ir.DataType.FLOAT, (outputs,), lambda: read()[1])
    zeros = graph.weight(f"{name}.zero_point", dtype, (outputs,), lambda: np.full(outputs, zero, numpy_dtype))
    return IntegerWeight(layer, values, scales, zeros, read)


def product(graph: GraphWriter, rows: ir.Value, step: float, zero: int, weight: IntegerWeight) -> ir.Value:
    """Write `(rows - zero) * step @ W` with integer sums.

    Args:
        rows: uint8[..., n, inputs].
        step: the value of one unit of `rows`.
        zero: the integer that represents zero.

    Returns:
        float32[..., n, outputs].
    """
    return graph.op(
        "MatMulIntegerToFloat",
        rows,
        weight.values,
        graph.constant(step),
        weight.scales,
        _byte(graph, zero),
        weight.zeros,
        domain=MICROSOFT,
    )


def quantize(graph: GraphWriter, x: ir.Value, step: float, zero: int) -> ir.Value:
    """Write `x / step + zero`, rounded to uint8."""
    return graph.op("QuantizeLinear", x, graph.constant(step), _byte(graph, zero))


def dequantize(graph: GraphWriter, x: ir.Value, step: float, zero: int) -> ir.Value:
    """Write `(x - zero) * step` for x uint8."""
    return graph.op("DequantizeLinear", x, graph.constant(step), _byte(graph, zero))


def largest_magnitude(graph: GraphWriter, x: ir.Value) -> ir.Value:
    """Write the largest magnitude of every row, float32[..., n, 1], by which rows are divided.

    For a row of zeros, 0 / 0 is NaN, which becomes an arbitrary integer, and the product is multiplied by 0 afterwards.
    Avoiding the NaN would cost one more operator per layer.
    """
    return graph.op("ReduceMax", graph.op("Abs", x), graph.constant([-1]), keepdims=1)


def symmetric(graph: GraphWriter, x: ir.Value, weight: IntegerWeight) -> ir.Value:
    """Write `x @ W` with 127 steps on either side of zero in every row of x, for values of both signs."""
    scale = largest_magnitude(graph, x)
    step = 1 / 127
    rows = quantize(graph, graph.op("Div", x, scale), step, ZERO)
    return graph.op("Mul", product(graph, rows, step, ZERO, weight), scale)


def one_sided(graph: GraphWriter, x: ir.Value, weight: IntegerWeight) -> ir.Value:
    """Write `x @ W` with 255 steps from zero to the largest value of every row, for x without negative values."""
    largest = graph.op("ReduceMax", x, graph.constant([-1]), keepdims=1)
    step = 1 / 255
    rows = quantize(graph, graph.op("Div", x, largest), step, 0)
    return graph.op("Mul", product(graph, rows, step, 0, weight), largest)


def lifted(graph: GraphWriter, x: ir.Value, lift: ReadVector, weight: IntegerWeight) -> ir.Value:
    """Write `x @ W` as `(x + lift) @ W - lift @ W`, for channels with values from `-lift` upwards.

    The second product is a constant. It is computed from the rounded weights, so the rounding of the weights affects x
    but not what was added to it.

    Args:
        x: float32[..., n, inputs].
        lift: reads float32[inputs].
    """

    def read() -> NDArray[np.float32]:
        return np.asarray(lift() @ weight.rounded(), np.float32)

    layer = weight.layer
    raised = graph.op("Add", x, graph.weight(f"{layer.name}.lift", ir.DataType.FLOAT, (layer.inputs,), lift))
    share = graph.weight(f"{layer.name}.lifted", ir.DataType.FLOAT, (layer.outputs,), read)
    return graph.op("Sub", one_sided(graph, raised, weight), share)


def two_term(graph: GraphWriter, x: ir.Value, weight: IntegerWeight) -> ir.Value:
    """Write `x @ W` with two INT8 terms for every value of x, for 3 dimensions.

    The residual of rounding to steps of 1/127 is at most half a step, which the second term divides into 127 steps.
    """
    step, finer = 1 / 127, 1 / 254
    scale = largest_magnitude(graph, x)
    normalized = graph.op("Div", x, scale)
    first = quantize(graph, normalized, step, ZERO)
    rest = graph.op("Sub", normalized, dequantize(graph, first, step, ZERO))
    second = quantize(graph, rest, step * finer, ZERO)
    both = product(graph, graph.op("Concat", first, second, axis=1), step, ZERO, weight)
    coarse, fine = graph.ops("Split", both, outputs=2, axis=1, num_outputs=2)
    fine = graph.op("Mul", fine, graph.constant(finer))
    return graph.op("Mul", graph.op("Add", coarse, fine), scale)


def _byte(graph: GraphWriter, value: int) -> ir.Value:
    return graph.weight(f"byte_{value}", ir.DataType.UINT8, (), lambda: np.array(value, np.uint8))
