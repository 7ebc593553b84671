"""The subsampling stack at the start of the encoder: one encoder frame for eight mel frames."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.layers import EncoderWriter
from legato.convert.graph.sites import Group, Site, Source

#: Added to outputs of the first convolution that the ReLU after it must set to 0; FP16 can represent it.
_HIDDEN = -6e4


def subsample(writer: EncoderWriter, mel: ir.Value, masks: list[ir.Value]) -> ir.Value:
    """Write NeMo's causal `dw_striding` stack without its padding in time, and the projection after it.

    NeMo pads every convolution with zeros in time: two before the start and one after the end. Here the caller
    supplies real frames wherever they exist, and the masks insert zeros where NeMo pads, *after each layer*: a mel
    frame of zeros is not equivalent, because a convolution turns it into its bias.

    Args:
        mel: float32[batch, 8 * n + 7, bins], the mel frames that n encoder frames depend on.
        masks: float32[batch, 1, frames, 1] for the mel frames and for the outputs of the first two strided
            convolutions (4 * n + 3 and 2 * n + 1 frames): 1 within the utterance, 0 outside.

    Returns:
        float32[n, batch, width].
    """
    graph, a = writer.graph, writer.architecture
    channels = a.subsampling_channels
    x = graph.op("Mul", graph.op("Unsqueeze", mel, graph.constant([1])), masks[0])
    x = graph.op("Relu", _first_conv2d(writer, x, masks[1]))
    x = _conv2d(writer, _conv2d(writer, x, 2, strides=[2, 2], group=channels), 3)
    x = graph.op("Mul", graph.op("Relu", x), masks[2])
    x = _conv2d(writer, _conv2d(writer, x, 5, strides=[2, 2], group=channels), 6)
    x = graph.op("Transpose", graph.op("Relu", x), perm=[2, 0, 1, 3])
    x = graph.op("Reshape", x, graph.constant([0, 0, channels * a.subsampled_bins]))
    site = Site(Group.SUBSAMPLING, Source.RELU)
    return writer.linear(x, "encoder.pre_encode.out.weight", site, scale=a.input_scale)


def _first_conv2d(writer: EncoderWriter, mel: ir.Value, mask: ir.Value) -> ir.Value:
    """Write the first strided convolution; its output is large and negative where `mask` is 0.

    The mask is a second input channel, because ONNX Runtime would change the layout of the largest tensor of the graph
    twice to multiply it by a mask. Output (t, f) reads the input at 2t + 1 and, in frequency, at 2f - 2 and 2f, one of
    which is padding at either end.
    """
    graph, name = writer.graph, "encoder.pre_encode.conv.0"
    outside = graph.op("Sub", graph.constant(1.0), mask)
    outside = graph.op("Reshape", graph.op("Concat", outside, outside, axis=3), graph.constant([0, 0, -1, 1]))
    outside = graph.op("Pad", outside, graph.constant([0, 0, 0, 0, 0, 0, 1, 0]))
    image = graph.op("Concat", mel, graph.op("Expand", outside, graph.op("Shape", mel)), axis=1)
    channels, _, *kernel = writer.architecture.weight_shapes()[f"{name}.weight"]

    def read() -> NDArray[np.float32]:
        hidden = np.zeros((channels, 1, *kernel), np.float32)
        hidden[:, :, 1, ::2] = _HIDDEN
        return np.concatenate([writer.checkpoint.read(f"{name}.weight"), hidden], axis=1)

    weight = writer.precision.parameter(writer.graph, f"{name}.weight.masked", (channels, 2, *kernel), read)
    return _conv(writer, image, weight, writer.vector(f"{name}.bias"), strides=[2, 2])


def _conv2d(
    writer: EncoderWriter, x: ir.Value, number: int, *, strides: list[int] | None = None, group: int = 1
) -> ir.Value:
    name = f"encoder.pre_encode.conv.{number}"
    shape = writer.architecture.weight_shapes()[f"{name}.weight"]
    weight = writer.precision.parameter(
        writer.graph, f"{name}.weight", shape, lambda: writer.checkpoint.read(f"{name}.weight")
    )
    return _conv(writer, x, weight, writer.vector(f"{name}.bias"), strides=strides, group=group)


def _conv(
    writer: EncoderWriter,
    x: ir.Value,
    weight: ir.Value,
    bias: ir.Value,
    *,
    strides: list[int] | None = None,
    group: int = 1,
) -> ir.Value:
    return writer.graph.op(
        "Conv",
        x,
        weight,
        bias,
        strides=strides or [1, 1],
        pads=[0, 2, 0, 1] if strides else [0, 0, 0, 0],  # frequency is padded as NeMo does, time never
        group=group,
        kernel_shape=[3, 3] if strides else [1, 1],
    )
