"""Activations as two INT8 terms: 15 bits for twice the integer products."""

import onnx_ir as ir

from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.integer import integer_weight, two_term
from legato.convert.quantize.per_token import PerToken


class TwoTerm(PerToken):
    """`x = r (q1 + q2 / 254) / 127` in every row. Both terms are rows of one product, so weights are read once."""

    recipe = "two-term"

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        return two_term(graph, x, integer_weight(graph, layer))
