"""Activations as two INT8 terms: 15 bits for twice the integer products."""

import onnx_ir as ir

from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.integer import ZERO, dequantize, integer_weight, largest_magnitude, product, quantize
from legato.convert.quantize.per_token import PerRow
from legato.convert.quantize.precision import ReadMatrix

#: The residual of rounding to steps of 1/127 is at most half a step; 127 steps of its own divide it.
_STEP = 1 / 127
_FINER = 1 / 254


class TwoTerm(PerRow):
    """`x = r (q1 + q2 / 254) / 127` in every row, both terms as rows of one product, so that weights are read once."""

    recipe = "two-term"

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        weight = integer_weight(graph, name, inputs, outputs, read)
        scale = largest_magnitude(graph, x)
        even = graph.op("Div", x, scale)
        first = quantize(graph, even, _STEP, ZERO)
        rest = graph.op("Sub", even, dequantize(graph, first, _STEP, ZERO))
        second = quantize(graph, rest, _STEP * _FINER, ZERO)
        both = product(graph, graph.op("Concat", first, second, axis=1), _STEP, ZERO, weight)
        coarse, fine = graph.ops("Split", both, outputs=2, axis=1, num_outputs=2)
        fine = graph.op("Mul", fine, graph.constant(_FINER))
        return graph.op("Mul", graph.op("Add", coarse, fine), scale)
