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

    Weights are unsigned, with zero point 128: CPUs without VNNI multiply U8 by S8 through 16-bit sums that saturate
    silently, and U8 by U8 exactly. The published bundle has the same integers signed, and its contract names no type.
    """

    name = "int8"
    recipe = "dynamic-per-tensor"

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

        def quantized() -> NDArray[np.generic]:
            matrix = read()
            integers: NDArray[np.generic] = (np.rint(matrix / self.scales(matrix)) + ZERO).astype(np.uint8)
            return integers

        weight = graph.weight(f"{name}.quantized", ir.DataType.UINT8, (inputs, outputs), quantized)
        scales = graph.weight(f"{name}.scale", ir.DataType.FLOAT, (outputs,), lambda: self.scales(read()))
        zeros = graph.weight(
            f"{name}.zero_point", ir.DataType.UINT8, (outputs,), lambda: np.full(outputs, ZERO, np.uint8)
        )
        rows, scale, zero_point = graph.ops("DynamicQuantizeLinear", x, outputs=3)
        product = graph.op("MatMulInteger", rows, weight, zero_point, zeros)
        return graph.op("Mul", graph.op("Cast", product, to=int(ir.DataType.FLOAT)), graph.op("Mul", scale, scales))
