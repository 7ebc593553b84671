"""The subsampling stack at the start of the encoder: one encoder frame for eight mel frames."""

import onnx_ir as ir

from legato.convert.graph.layers import EncoderWriter
from legato.convert.graph.sites import Group, Site, Source


def subsample(writer: EncoderWriter, mel: ir.Value, masks: list[ir.Value]) -> ir.Value:
    """Write NeMo's causal `dw_striding` stack without its padding in time, and the projection after it.

    NeMo pads every convolution with zeros in time: two before the start and one after the end. Here the caller
    supplies real frames wherever they exist, and the masks insert zeros where NeMo pads, *after each layer*: a mel
    frame of zeros is not equivalent, because a convolution turns it into its bias.

    Args:
        writer: the encoder that is written.
        mel: float32[batch, 8 * n + 7, bins], the mel frames that n encoder frames depend on.
        masks: float32[batch, 1, frames, 1] for the mel frames and for the outputs of the first two strided
            convolutions (4 * n + 3 and 2 * n + 1 frames): 1 within the utterance, 0 outside.

    Returns:
        float32[n, batch, width].
    """
    graph, a = writer.graph, writer.architecture
    channels = a.subsampling_channels
    x = graph.op("Mul", graph.op("Unsqueeze", mel, graph.constant([1])), masks[0])
    x = _conv2d(writer, x, 0, strides=[2, 2])
    x = graph.op("Mul", graph.op("Relu", x), masks[1])
    x = _conv2d(writer, _conv2d(writer, x, 2, strides=[2, 2], group=channels), 3)
    x = graph.op("Mul", graph.op("Relu", x), masks[2])
    x = _conv2d(writer, _conv2d(writer, x, 5, strides=[2, 2], group=channels), 6)
    x = graph.op("Transpose", graph.op("Relu", x), perm=[2, 0, 1, 3])
    x = graph.op("Reshape", x, graph.constant([0, 0, channels * a.subsampled_bins]))
    site = Site(Group.SUBSAMPLING, Source.RELU)
    return writer.linear(x, "encoder.pre_encode.out.weight", site, scale=a.input_scale)


def _conv2d(
    writer: EncoderWriter, x: ir.Value, number: int, *, strides: list[int] | None = None, group: int = 1
) -> ir.Value:
    name = f"encoder.pre_encode.conv.{number}"
    shape = writer.architecture.weight_shapes()[f"{name}.weight"]
    weight = writer.precision.parameter(
        writer.graph, f"{name}.weight", shape, lambda: writer.checkpoint.read(f"{name}.weight")
    )
    return writer.graph.op(
        "Conv",
        x,
        weight,
        writer.vector(f"{name}.bias"),
        strides=strides or [1, 1],
        pads=[0, 2, 0, 1] if strides else [0, 0, 0, 0],  # frequency is padded as NeMo does, time never
        group=group,
        kernel_shape=list(shape[2:]),
    )
