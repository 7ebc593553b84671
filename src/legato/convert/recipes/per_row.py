"""Per-row activations: every frame of every stream has its own scale."""

import onnx_ir as ir

from legato.convert.graph import GraphWriter
from legato.convert.precision import Float32, ReadMatrix
from legato.convert.recipes.integer import asymmetric, integer_weight, symmetric
from legato.convert.recipes.places import place_of


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
        multiply = asymmetric if place_of(name).one_sided else symmetric
        return multiply(graph, x, integer_weight(graph, name, inputs, outputs, read))
