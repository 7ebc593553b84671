"""Weights with one scale per block of 32 inputs. ONNX Runtime quantizes the activations inside the product."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import MICROSOFT, GraphWriter

BLOCK = 32
#: Integer products with INT8 activations, one scale per block of every row. Other levels are 45 times slower at 8 bits.
_ACCURACY_LEVEL = 4


#: Returns uint8[outputs, blocks, BLOCK] with the zero point in the middle, and scales float32[outputs, blocks].
Blocks = Callable[[], tuple[NDArray[np.uint8], NDArray[np.float32]]]


def block_product(
    graph: GraphWriter, x: ir.Value, layer: Linear, bits: int, quantized: Blocks | None = None
) -> ir.Value:
    """Write `x @ W` with a weight that is quantized when the graph is saved.

    Args:
        x: float32[..., inputs].
        layer: the linear layer; its inputs are a multiple of `BLOCK`.
        bits: 8 or 4, bits per weight.
        quantized: returns integers and scales; the default is `quantize_blocks` of the weight.

    Returns:
        float32[..., outputs].
    """
    read = quantized or (lambda: quantize_blocks(layer.read(), bits))
    shape = (layer.outputs, layer.inputs // BLOCK)
    values = graph.weight(
        f"{layer.name}.quantized",
        ir.DataType.UINT8,
        (*shape, BLOCK * bits // 8),
        lambda: pack(read()[0], bits),
    )
    scales = graph.weight(f"{layer.name}.scale", ir.DataType.FLOAT, shape, lambda: read()[1])
    return graph.op(
        "MatMulNBits",
        x,
        values,
        scales,
        domain=MICROSOFT,
        K=layer.inputs,
        N=layer.outputs,
        bits=bits,
        block_size=BLOCK,
        accuracy_level=_ACCURACY_LEVEL,
    )


def quantize_blocks(matrix: NDArray[np.float32], bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Quantize float32[inputs, outputs] symmetrically in blocks of inputs.

    Returns:
        uint8[outputs, blocks, BLOCK] with the zero point in the middle, and scales float32[outputs, blocks].
    """
    inputs, outputs = matrix.shape
    blocks = matrix.T.reshape(outputs, inputs // BLOCK, BLOCK)
    zero = 1 << (bits - 1)
    largest = np.abs(blocks).max(axis=-1, keepdims=True)
    scales = np.where(largest > 0, largest / np.float32(zero - 1), np.float32(1)).astype(np.float32)
    return (np.rint(blocks / scales) + zero).astype(np.uint8), scales[..., 0]


def pack(values: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Pack two 4-bit values into a byte, the first in the low half. Return 8-bit values unchanged."""
    if bits == 8:
        return values
    return np.asarray(values[..., ::2] | (values[..., 1::2] << 4), np.uint8)
