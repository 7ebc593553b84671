"""Rotation: outliers are spread over their neighbours, by a product that the weights undo."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.integer import integer_weight, symmetric
from legato.convert.quantize.per_token import PerRow
from legato.convert.quantize.precision import ReadMatrix

#: Channels that are mixed with each other, at most: a power of 2.
BLOCK = 128


class Rotated(PerRow):
    """Per-row activations behind a randomised Hadamard rotation of blocks of channels.

    `x @ W = (x @ Q) @ (Q.T @ W)` for orthogonal Q. Every rotated channel is a sum of all channels of its block with
    random signs, so one large channel adds a little to each, and one-sided values become two-sided. No calibration is
    needed; the rotation of the activations costs a small FP32 product a layer. (QuaRot, arXiv:2404.00456.)
    """

    recipe = "rotate"

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        block = min(BLOCK, inputs & -inputs)  # the largest power of 2 that divides the inputs
        rotation = hadamard(block)

        def rotated() -> NDArray[np.float32]:
            blocks = read().reshape(inputs // block, block, outputs).astype(np.float64)
            return (rotation.T @ blocks).reshape(inputs, outputs).astype(np.float32)

        matrix = graph.weight(
            f"hadamard_{block}", ir.DataType.FLOAT, (block, block), lambda: rotation.astype(np.float32)
        )
        blocks = graph.op("Reshape", x, graph.constant([0, 0, inputs // block, block]))
        x = graph.op("Reshape", graph.op("MatMul", blocks, matrix), graph.constant([0, 0, inputs]))
        return symmetric(graph, x, integer_weight(graph, name, inputs, outputs, rotated))


def hadamard(size: int) -> NDArray[np.float64]:
    """Orthogonal matrix [size, size] for a power of 2: a Hadamard matrix, its rows with random but fixed signs."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    signs = np.random.default_rng(size).choice([-1.0, 1.0], size)
    return np.asarray(signs[:, None] * matrix / np.sqrt(size))
