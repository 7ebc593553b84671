"""Per-row activations: every frame of every stream has its own scale."""

import numpy as np
import onnx_ir as ir

from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.blocks import BLOCK, block_product
from legato.convert.quantize.integer import integer_weight, lifted, one_sided, symmetric
from legato.convert.quantize.precision import Float32, Precision, ReadMatrix
from legato.convert.quantize.sites import place_of

#: The lowest value of SiLU is -0.27846454.
SILU_DEPTH = np.float32(0.2784646)


class PerRow(Float32):
    """Per-channel weights and per-row activations.

    A frame's result does not depend on its neighbours in the batch or in the call, and a loud frame does not take the
    precision of a quiet one.
    """

    name = "int8"
    recipe = "per-row"

    @property
    def transducer(self) -> Precision:
        """See `SmallNets`."""
        return SmallNets()

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        weight = integer_weight(graph, name, inputs, outputs, read, narrow=self.narrow)
        match place_of(name).source:
            case "relu":
                return one_sided(graph, x, weight)
            case "silu":
                return lifted(graph, x, lambda: np.full(inputs, SILU_DEPTH), weight)
            case _:
                return symmetric(graph, x, weight)


class SmallNets(PerRow):
    """Prediction net and joint beside an INT8 encoder.

    What an INT8 joint costs comes from rounding its weights, and it costs more than the whole encoder (`legato study`):
    its weights get a scale for every block of inputs where that is possible.
    """

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        if place_of(name).group == "joint" and inputs % BLOCK == 0:
            return block_product(graph, x, name, inputs, outputs, read, bits=8)
        return super().linear(graph, x, name, inputs, outputs, read)
