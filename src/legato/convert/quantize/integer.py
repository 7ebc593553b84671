"""Exact integer products in stock ONNX Runtime operators.

Weights are U8 with zero point 128: CPUs without VNNI multiply U8 by S8 through 16-bit sums that saturate silently, U8
by U8 exactly. All that is computed for a row depends on that row alone, bit by bit: its scale comes from its own
values, and integer sums are exact in any order. `QuantizeLinear` takes one constant scale because rows are brought to
the same range first; that, the reductions and the product are single operators over whole tensors, and next to the
product they cost next to nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.writer import MICROSOFT, GraphWriter
from legato.convert.quantize.precision import STEPS, ReadMatrix, column_scales, quantize_columns

#: Reads a small weight as float32[inputs].
ReadVector = Callable[[], NDArray[np.float32]]

ZERO = 128
#: Integers to either side of zero in a narrow weight.
NARROW_STEPS = 64


@dataclass(frozen=True)
class IntegerWeight:
    """One per-channel quantized weight in a graph.

    Attributes:
        name: name of the weight.
        values: uint8[inputs, outputs] with zero point 128; narrow ones int8[inputs, outputs] from -64 to 64.
        scales: float32[outputs].
        zeros: zero points, [outputs] of the same type, all 128; narrow ones 0.
        inputs, outputs: channels.
        rounded: reads what the integers stand for, float64[inputs, outputs].
    """

    name: str
    values: ir.Value
    scales: ir.Value
    zeros: ir.Value
    inputs: int
    outputs: int
    rounded: Callable[[], NDArray[np.float64]]


def integer_weight(
    graph: GraphWriter, name: str, inputs: int, outputs: int, read: ReadMatrix, *, narrow: bool = False
) -> IntegerWeight:
    """Add a weight that is quantized when the graph is saved.

    A `narrow` one is signed and has 129 steps instead of 255: twice 255 * 64 fits into 16 bits, so that the fast
    kernels for signed weights are exact on every CPU.
    """
    dtype, numpy_dtype = (ir.DataType.INT8, np.int8) if narrow else (ir.DataType.UINT8, np.uint8)
    zero, steps = (0, NARROW_STEPS) if narrow else (ZERO, STEPS)
    values = graph.weight(
        f"{name}.quantized", dtype, (inputs, outputs), lambda: quantize_columns(read(), zero, steps).astype(numpy_dtype)
    )
    scales = graph.weight(f"{name}.scale", ir.DataType.FLOAT, (outputs,), lambda: column_scales(read(), steps))
    zeros = graph.weight(f"{name}.zero_point", dtype, (outputs,), lambda: np.full(outputs, zero, numpy_dtype))
    return IntegerWeight(name, values, scales, zeros, inputs, outputs, lambda: _rounded(read(), steps))


def _rounded(matrix: NDArray[np.float32], steps: int) -> NDArray[np.float64]:
    return quantize_columns(matrix, 0, steps).astype(np.float64) * column_scales(matrix, steps)


def product(graph: GraphWriter, rows: ir.Value, step: float, zero: int, weight: IntegerWeight) -> ir.Value:
    """`(rows - zero) * step @ W`, the sums in integers.

    Args:
        graph: where to write.
        rows: uint8[..., n, inputs].
        step: what one unit of `rows` stands for.
        zero: the integer that stands for zero.
        weight: the weight W.

    Returns:
        float32[..., n, outputs].
    """
    return graph.op(
        "MatMulIntegerToFloat", rows, weight.values, graph.constant(step), weight.scales, _byte(graph, zero),
        weight.zeros, domain=MICROSOFT,
    )  # fmt: skip


def quantize(graph: GraphWriter, x: ir.Value, step: float, zero: int) -> ir.Value:
    """Round x / step + zero to uint8."""
    return graph.op("QuantizeLinear", x, graph.constant(step), _byte(graph, zero))


def dequantize(graph: GraphWriter, x: ir.Value, step: float, zero: int) -> ir.Value:
    """(x - zero) * step for x uint8."""
    return graph.op("DequantizeLinear", x, graph.constant(step), _byte(graph, zero))


def largest_magnitude(graph: GraphWriter, x: ir.Value) -> ir.Value:
    """Largest magnitude in every row: float32[..., n, 1].

    It is what rows come divided by. In a row of zeros 0 / 0 is NaN, which becomes some integer, and the product is
    multiplied by 0 again; to keep the zero out would be one more operator a layer.
    """
    return graph.op("ReduceMax", graph.op("Abs", x), graph.constant([-1]), keepdims=1)


def symmetric(graph: GraphWriter, x: ir.Value, weight: IntegerWeight) -> ir.Value:
    """`x @ W` with 127 steps to either side of zero in every row of x, for values that reach as far to both sides."""
    scale = largest_magnitude(graph, x)
    step = 1 / 127
    rows = quantize(graph, graph.op("Div", x, scale), step, ZERO)
    return graph.op("Mul", product(graph, rows, step, ZERO, weight), scale)


def one_sided(graph: GraphWriter, x: ir.Value, weight: IntegerWeight) -> ir.Value:
    """`x @ W` with 255 steps from zero to the largest value of every row, for x without negative values."""
    largest = graph.op("ReduceMax", x, graph.constant([-1]), keepdims=1)
    step = 1 / 255
    rows = quantize(graph, graph.op("Div", x, largest), step, 0)
    return graph.op("Mul", product(graph, rows, step, 0, weight), largest)


def lifted(graph: GraphWriter, x: ir.Value, lift: ReadVector, weight: IntegerWeight) -> ir.Value:
    """`x @ W` as `(x + lift) @ W - lift @ W`, for channels that reach `lift` below zero and farther above.

    The second product is a constant, of the weights as they are rounded: so their rounding counts for x, and not for
    what was added to it.

    Args:
        graph: where to write.
        x: float32[..., n, inputs].
        lift: reads float32[inputs].
        weight: the weight W.
    """

    def read() -> NDArray[np.float32]:
        return np.asarray(lift() @ weight.rounded(), np.float32)

    inputs, name = weight.inputs, weight.name
    raised = graph.op("Add", x, graph.weight(f"{name}.lift", ir.DataType.FLOAT, (inputs,), lift))
    share = graph.weight(f"{name}.lifted", ir.DataType.FLOAT, (weight.outputs,), read)
    return graph.op("Sub", one_sided(graph, raised, weight), share)


def _byte(graph: GraphWriter, value: int) -> ir.Value:
    return graph.weight(f"byte_{value}", ir.DataType.UINT8, (), lambda: np.array(value, np.uint8))
