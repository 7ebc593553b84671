"""INT8 for LiteRT: int8 weights in the encoder, activations quantized per row by LiteRT itself."""

import numpy as np
import onnx_ir as ir

from legato.convert.graph.precision import Float32, Precision
from legato.convert.graph.sites import Group, Linear, Source
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.integer import column_scales, quantize_columns
from legato.convert.quantize.smooth import PerTokenSmooth
from legato.types import Floats


class Hybrid(PerTokenSmooth):
    """The recipe `per-token-smooth` with the products of LiteRT.

    LiteRT quantizes every row of the activations with a scale and a zero point of its own, 255 steps from its smallest
    to its largest value. One-sided and lifted values therefore need no operators of their own. Prediction net and joint
    are FP32, as in the published bundle, and so are the layers of the language prompt, through which every frame goes
    last.
    """

    @property
    def transducer(self) -> Precision:
        """FP32."""
        return Float32()

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`. The weight is a DequantizeLinear, which `matmul` translates."""
        if layer.site.group is Group.PROMPT:
            return Float32.linear(self, graph, x, layer)
        smoothed = layer.name in self._ranges and layer.site.source in (Source.NORM, Source.SILU)

        def read() -> Floats:
            return layer.read() * self._factors(layer)[:, None] if smoothed else layer.read()

        if smoothed and layer.site.source is Source.SILU:
            x = self._divided(graph, x, layer)
        values = graph.weight(
            f"{layer.name}.quantized",
            ir.DataType.INT8,
            (layer.inputs, layer.outputs),
            lambda: quantize_columns(read(), 0).astype(np.int8),
        )
        scales = graph.weight(f"{layer.name}.scale", ir.DataType.FLOAT, (layer.outputs,), lambda: column_scales(read()))
        return graph.op("MatMul", x, graph.op("DequantizeLinear", values, scales, axis=1))
