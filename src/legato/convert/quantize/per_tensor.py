"""INT8 as the published bundle has it: one activation scale per tensor."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.precision import Float32, Precision
from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.integer import ZERO, column_scales


class DynamicPerTensor(Float32):
    """Per-channel weights and one activation scale per tensor, as `onnxruntime.quantization.quantize_dynamic` does it.

    Unsigned weights are the same integers with zero point 128. CPUs without VNNI multiply U8 by S8 through 16-bit sums
    that saturate silently, and U8 by U8 exactly. The results are otherwise equal.

    Args:
        signed: whether the weights are stored as int8, as in the published bundle, instead of uint8.
    """

    name = "int8"
    recipe = "dynamic-per-tensor"

    def __init__(self, *, signed: bool) -> None:
        self._signed = signed

    def scales(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scale of every output channel of a weight float32[inputs, outputs]: float32[outputs]."""
        return column_scales(matrix)

    @property
    def transducer(self) -> Precision:
        """FP32: the published recipe quantizes the encoder only."""
        return Float32()

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        name, inputs, outputs, read = layer.name, layer.inputs, layer.outputs, layer.read
        dtype, numpy_dtype, zero = (
            (ir.DataType.INT8, np.int8, 0) if self._signed else (ir.DataType.UINT8, np.uint8, ZERO)
        )

        def quantized() -> NDArray[np.generic]:
            matrix = read()
            integers: NDArray[np.generic] = (np.rint(matrix / self.scales(matrix)) + zero).astype(numpy_dtype)
            return integers

        weight = graph.weight(f"{name}.quantized", dtype, (inputs, outputs), quantized)
        scales = graph.weight(f"{name}.scale", ir.DataType.FLOAT, (outputs,), lambda: self.scales(read()))
        zeros = graph.weight(f"{name}.zero_point", dtype, (outputs,), lambda: np.full(outputs, zero, numpy_dtype))
        rows, scale, zero_point = graph.ops("DynamicQuantizeLinear", x, outputs=3)
        product = graph.op("MatMulInteger", rows, weight, zero_point, zeros)
        return graph.op("Mul", graph.op("Cast", product, to=int(ir.DataType.FLOAT)), graph.op("Mul", scale, scales))
