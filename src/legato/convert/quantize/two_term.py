"""Activations as two INT8 terms: 15 bits for twice the integer products."""

import onnx_ir as ir

from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.integer import ZERO, dequantize, integer_weight, largest_magnitude, product, quantize
from legato.convert.quantize.per_token import PerToken

#: The residual of rounding to steps of 1/127 is at most half a step, which the second term divides into 127 steps.
_STEP = 1 / 127
_FINER = 1 / 254


class TwoTerm(PerToken):
    """`x = r (q1 + q2 / 254) / 127` in every row. Both terms are rows of one product, so weights are read once."""

    recipe = "two-term"

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        weight = integer_weight(graph, layer)
        scale = largest_magnitude(graph, x)
        normalized = graph.op("Div", x, scale)
        first = quantize(graph, normalized, _STEP, ZERO)
        rest = graph.op("Sub", normalized, dequantize(graph, first, _STEP, ZERO))
        second = quantize(graph, rest, _STEP * _FINER, ZERO)
        both = product(graph, graph.op("Concat", first, second, axis=1), _STEP, ZERO, weight)
        coarse, fine = graph.ops("Split", both, outputs=2, axis=1, num_outputs=2)
        fine = graph.op("Mul", fine, graph.constant(_FINER))
        return graph.op("Mul", graph.op("Add", coarse, fine), scale)
