"""What ONNX operators become that compute sums: products, convolutions, and LayerNorm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from ai_edge_litert import schema_py_generated as schema

from legato.convert.litert.model import Tensor
from legato.convert.litert.translation import Translation, changed


def matmul(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """Write a product with a matrix of weights, or of two tensors.

    Activations that int8 weights multiply are quantized with one scale and one zero point per row
    (`asymmetricQuantizeInputs`).
    """
    x, y = inputs
    if not y.read or len(y.shape) > 2:
        rank = max(len(x.shape), len(y.shape))
        x, y = (t.reshape(z, (1,) * (rank - len(z.shape)) + z.shape) for z in (x, y))
        shape = [*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1]]
        return [t.op("BATCH_MATMUL", x, y, shape=shape)]
    weight = changed(y, "transposed", y.shape[::-1], np.transpose)
    hybrid: dict[str, Any] = {"asymmetricQuantizeInputs": True} if y.scales else {}
    return [t.op("FULLY_CONNECTED", x, weight, shape=[*x.shape[:-1], y.shape[1]], keepNumDims=True, **hybrid)]


def conv(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """Write a convolution over an image, whose channels come last in TFLite."""
    x, weight, *bias = inputs
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    stride_h, stride_w = attributes.get("strides", (1, 1))
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    x = t.transpose(x, (0, 2, 3, 1))
    if any((top, left, bottom, right)):
        padding = [[0, 0], [top, bottom], [left, right], [0, 0]]
        padded = [size + sum(more) for size, more in zip(x.shape, padding, strict=True)]
        x = t.op("PAD", x, t.constant(padding), shape=padded)
    outputs, _, height, width = weight.shape
    depthwise = attributes.get("group", 1) > 1
    multiplier: dict[str, Any] = {"depthMultiplier": 1} if depthwise else {}
    order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    weight = changed(weight, "last", [weight.shape[axis] for axis in order], lambda values: values.transpose(order))
    shape = [x.shape[0], (x.shape[1] - height) // stride_h + 1, (x.shape[2] - width) // stride_w + 1, outputs]
    y = t.op(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        x,
        weight,
        *(bias or [t.constant(np.zeros(outputs), np.float32)]),
        shape=shape,
        padding=schema.Padding.VALID,
        strideH=stride_h,
        strideW=stride_w,
        **multiplier,
    )
    return [t.transpose(y, (0, 3, 1, 2))]


def layer_norm(t: Translation, node: ir.Node, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """Write a LayerNorm over the last axis, for which TFLite has no operator."""
    x, scale, bias = inputs
    last = t.constant([len(x.shape) - 1])
    rows = [*x.shape[:-1], 1]
    centered = t.op("SUB", x, t.op("MEAN", x, last, shape=rows, keepDims=True), shape=x.shape)
    variance = t.op("MEAN", t.op("MUL", centered, centered, shape=x.shape), last, shape=rows, keepDims=True)
    epsilon = t.constant(node.attributes["epsilon"].as_float(), np.float32)
    factor = t.op("RSQRT", t.op("ADD", variance, epsilon, shape=rows), shape=rows)
    normed = t.op("MUL", t.op("MUL", centered, factor, shape=x.shape), scale, shape=x.shape)
    return [t.op("ADD", normed, bias, shape=x.shape)]
