"""Per-token activations: every frame of every stream has its own scale."""

import numpy as np
import onnx_ir as ir

from legato.convert.graph.precision import Float32, Precision
from legato.convert.graph.sites import Group, Linear, Source
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.blocks import BLOCK, block_product
from legato.convert.quantize.integer import integer_weight, lifted, one_sided, symmetric

#: The lowest value of SiLU is -0.27846454.
SILU_DEPTH = np.float32(0.2784646)


class PerToken(Float32):
    """Per-channel weights and per-token activations.

    A frame does not depend on its neighbors in the batch or in the call, and a loud frame does not reduce the precision
    of a quiet one.
    """

    name = "int8"
    recipe = "per-token"

    @property
    def transducer(self) -> Precision:
        """See `PerTokenTransducer`."""
        return PerTokenTransducer()

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        weight = integer_weight(graph, layer, reduce_range=self.reduce_range)
        match layer.site.source:
            case Source.RELU:
                return one_sided(graph, x, weight)
            case Source.SILU:
                return lifted(graph, x, lambda: np.full(layer.inputs, SILU_DEPTH), weight)
            case _:
                return symmetric(graph, x, weight)


class PerTokenTransducer(PerToken):
    """Prediction net and joint for an INT8 encoder.

    The error of an INT8 joint comes from rounding its weights and exceeds that of the whole encoder (`legato study`).
    Its weights therefore have one scale per block of inputs where the number of inputs permits.
    """

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        if layer.site.group is Group.JOINT and layer.inputs % BLOCK == 0:
            return block_product(graph, x, layer, bits=8)
        return super().linear(graph, x, layer)
