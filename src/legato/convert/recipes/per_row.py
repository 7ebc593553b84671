"""Per-row activations: every frame of every stream has its own scale."""

import numpy as np
import onnx_ir as ir

from legato.convert.graph import GraphWriter
from legato.convert.precision import Float32, ReadMatrix
from legato.convert.recipes.integer import integer_weight, lifted, one_sided, symmetric
from legato.convert.recipes.places import place_of

#: The lowest value of SiLU is -0.27846454.
SILU_DEPTH = np.float32(0.2784646)


class PerRow(Float32):
    """Per-channel weights and per-row activations.

    A frame's result does not depend on its neighbours in the batch or in the call, and a loud frame does not take the
    precision of a quiet one.
    """

    name = "int8"
    recipe = "per-row"

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
