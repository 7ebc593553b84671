"""Weights in blocks of inputs. The quantization of the activations is left to ONNX Runtime."""

import onnx_ir as ir

from legato.convert.graph.precision import Float32, Precision
from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.blocks import BLOCK, block_product
from legato.convert.quantize.per_token import PerTokenTransducer
from legato.errors import ConversionError


class WeightOnly(Float32):
    """`MatMulNBits` with weights of 8 or 4 bits.

    Args:
        bits: 8 or 4.
    """

    name = "int8"

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self.recipe = "weight-only" if bits == 8 else f"weight-only-{bits}bit"

    @property
    def transducer(self) -> Precision:
        """See `PerTokenTransducer`."""
        return PerTokenTransducer()

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`.

        Raises:
            ConversionError: the number of inputs is not a multiple of the block.
        """
        if layer.inputs % BLOCK:
            raise ConversionError(
                f"the recipe {self.recipe} needs layers with a multiple of {BLOCK} inputs; {layer.name} has "
                f"{layer.inputs}. Choose another recipe."
            )
        return block_product(graph, x, layer, self._bits)
