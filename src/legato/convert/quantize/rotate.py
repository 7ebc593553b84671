"""Rotation: outliers are spread over neighboring channels by a product that the weights undo."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.integer import integer_weight, symmetric
from legato.convert.quantize.per_token import PerToken

#: The largest number of channels that are mixed with each other: a power of 2.
BLOCK = 128


class Rotated(PerToken):
    """Per-token activations after a randomized Hadamard rotation of blocks of channels (QuaRot, arXiv:2404.00456).

    `x @ W = (x @ Q) @ (Q.T @ W)` for orthogonal Q. Every rotated channel is a sum of all channels of its block with
    random signs, so one large channel adds a little to each, and one-sided values become two-sided. The recipe needs no
    calibration. Rotating the activations costs a small FP32 product per layer.
    """

    recipe = "rotate"

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        inputs, outputs = layer.inputs, layer.outputs
        block = min(BLOCK, inputs & -inputs)  # the largest power of 2 that divides the inputs
        rotation = hadamard(block)

        def rotated() -> NDArray[np.float32]:
            blocks = layer.read().reshape(inputs // block, block, outputs).astype(np.float64)
            return (rotation.T @ blocks).reshape(inputs, outputs).astype(np.float32)

        matrix = graph.weight(
            f"hadamard_{block}", ir.DataType.FLOAT, (block, block), lambda: rotation.astype(np.float32)
        )
        blocks = graph.op("Reshape", x, graph.constant([0, 0, inputs // block, block]))
        x = graph.op("Reshape", graph.op("MatMul", blocks, matrix), graph.constant([0, 0, inputs]))
        return symmetric(graph, x, integer_weight(graph, replace(layer, read=rotated)))


def hadamard(size: int) -> NDArray[np.float64]:
    """Return an orthogonal matrix, float64[size, size]: a Hadamard matrix with random but fixed signs of its rows.

    Args:
        size: a power of 2.
    """
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    signs = np.random.default_rng(size).choice([-1.0, 1.0], size)
    return np.asarray(signs[:, None] * matrix / np.sqrt(size))
