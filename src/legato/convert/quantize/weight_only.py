"""Weights in blocks of inputs, the activations left to ONNX Runtime."""

import onnx_ir as ir

from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.blocks import BLOCK, block_product
from legato.convert.quantize.per_token import SmallNets
from legato.convert.quantize.precision import Float32, Precision, ReadMatrix
from legato.errors import ConversionError


class WeightOnly(Float32):
    """`MatMulNBits` with weights of 8 or 4 bit.

    Args:
        bits: 8 or 4.
    """

    name = "int8"

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self.recipe = "weight-only" if bits == 8 else f"weight-only-{bits}bit"

    @property
    def transducer(self) -> Precision:
        """See `SmallNets`."""
        return SmallNets()

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        if inputs % BLOCK:
            raise ConversionError(
                f"the recipe {self.recipe} needs layers with a multiple of {BLOCK} inputs; {name} has {inputs}. "
                "Choose another recipe."
            )
        return block_product(graph, x, name, inputs, outputs, read, self._bits)
