"""Weights in blocks of 32 inputs with a scale each; ONNX Runtime quantizes the activations inside the product."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.writer import MICROSOFT, GraphWriter
from legato.convert.quantize.precision import ReadMatrix

BLOCK = 32
#: Integer products with activations in INT8, a scale for every block of every row. Others are 45 times slower at 8 bit.
_ACCURACY_LEVEL = 4


def block_product(
    graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix, bits: int
) -> ir.Value:
    """Write `x @ W` with a weight of 8 or 4 bit that is quantized when the graph is saved.

    Args:
        graph: where to write.
        x: float32[..., inputs].
        name: name of the weight.
        inputs: a multiple of `BLOCK`.
        outputs: output channels.
        read: reads the weight.
        bits: 8 or 4.
    """
    shape = (outputs, inputs // BLOCK)
    values = graph.weight(
        f"{name}.quantized",
        ir.DataType.UINT8,
        (*shape, BLOCK * bits // 8),
        lambda: pack(quantize_blocks(read(), bits)[0], bits),
    )
    scales = graph.weight(f"{name}.scale", ir.DataType.FLOAT, shape, lambda: quantize_blocks(read(), bits)[1])
    return graph.op(
        "MatMulNBits", x, values, scales, domain=MICROSOFT, K=inputs, N=outputs, bits=bits, block_size=BLOCK,
        accuracy_level=_ACCURACY_LEVEL,
    )  # fmt: skip


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
    """Two 4-bit values a byte, the first in the low half; 8-bit values as they are."""
    if bits == 8:
        return values
    return np.asarray(values[..., ::2] | (values[..., 1::2] << 4), np.uint8)
