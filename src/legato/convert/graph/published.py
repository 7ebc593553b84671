"""The encoder graph of the published contract: batch 1, one window of 320 ms, layer inputs cached as NeMo does."""

from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.attention import MASKED, RelativePositions, attend
from legato.convert.graph.layers import EncoderWriter
from legato.convert.graph.precision import Precision
from legato.convert.graph.sites import Group, Site, Source
from legato.convert.graph.subsampling import subsample
from legato.convert.graph.writer import GraphWriter

#: Right context and new frames of a call, in encoder frames.
RIGHT_CONTEXT = 3
FRAMES = RIGHT_CONTEXT + 1
#: Mel frames of a call.
WINDOW = 8 * FRAMES
#: Mel frames before the window that the first encoder frames still depend on.
PRE_CACHE = 9
#: NeMo subsamples cache and window together and drops the encoder frames that begin before the window.
DROPPED = 2
#: The most inputs of a Concat node.
JOINED = 6


def write_published_encoder(checkpoint: Checkpoint, precision: Precision) -> ir.Model:
    """Write the encoder of the published contract, which determines names, types, shapes and order.

    NeMo projects keys and values of all cached frames again in every call, and so does this graph.
    """
    a = checkpoint.architecture
    graph = GraphWriter("encoder")
    writer = EncoderWriter(graph, checkpoint, precision)
    float32, int32 = ir.DataType.FLOAT, ir.DataType.INT32
    channel_shape = [a.layers, 1, a.left_context, a.width]
    time_shape = [a.layers, 1, a.width, a.conv_cache]
    pre_shape = [1, a.mel.mel_bins, PRE_CACHE]
    signal = graph.input("audio_signal", float32, [1, a.mel.mel_bins, WINDOW])
    length = graph.input("audio_length", int32, [1])
    language = graph.input("language_mask", float32, [1, a.prompts])
    pre_cache = graph.input("pre_cache", float32, pre_shape)
    channel_cache = graph.input("cache_last_channel", float32, channel_shape)
    time_cache = graph.input("cache_last_time", float32, time_shape)
    cache_length = graph.input("cache_last_channel_len", int32, [1])

    joined = graph.op("Concat", pre_cache, signal, axis=2)
    encoded_length = _encoded_length(graph, length)
    with graph.scoped("subsampling"):
        mel = graph.op("Transpose", joined, perm=[0, 2, 1])
        # The first DROPPED encoder frames are not computed: the others need only the last 8 * FRAMES + 7 mel frames.
        mel = writer.last(mel, 8 * FRAMES + 7, axis=1)
        x = subsample(writer, mel, _subsampling_masks(graph, length))
    positions, mask = _positions(graph, a.left_context), _mask(graph, a.left_context, cache_length, encoded_length)
    new_channel, new_time = [], []
    for layer in range(a.layers):
        with graph.scoped(f"layers.{layer}"):
            x = writer.feed_forward(x, layer, 1)
            with graph.scoped("self_attn"):
                attended, context = _attention(writer, x, layer, channel_cache, positions, mask)
                x = graph.op("Add", x, attended)
                new_channel.append(_batch_first(graph, writer.last(context, a.left_context, axis=0)))
            cache = graph.op("Gather", time_cache, graph.constant(layer), axis=0)
            earlier = graph.op("Transpose", cache, perm=[2, 0, 1])
            x, _, convolved = writer.convolution(x, layer, partial(_before, graph, earlier))
            new_time.append(graph.op("Transpose", writer.last(convolved, a.conv_cache, axis=0), perm=[1, 2, 0]))
            x = writer.feed_forward(x, layer, 2)
            x = writer.layer_norm(x, f"encoder.layers.{layer}.norm_out")
    with graph.scoped("prompt"):
        row = graph.op("MatMul", language, writer.prompt_table())
        x = _batch_first(graph, writer.prompt(x, row))

    seen = graph.op("Add", cache_length, encoded_length)
    limit = graph.constant(_int32([a.left_context]))
    graph.output(x, "encoded_output", float32, [1, FRAMES, a.width])
    graph.output(encoded_length, "encoded_length", int32, [1])
    graph.output(writer.last(joined, PRE_CACHE, axis=2), "new_pre_cache", float32, pre_shape)
    graph.output(_stack(graph, new_channel), "new_cache_last_channel", float32, channel_shape)
    graph.output(_stack(graph, new_time), "new_cache_last_time", float32, time_shape)
    graph.output(graph.op("Min", seen, limit), "new_cache_last_channel_len", int32, [1])
    return graph.model("Streaming encoder in the published layout")


def _attention(
    writer: EncoderWriter, x: ir.Value, layer: int, caches: ir.Value, positions: RelativePositions, mask: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """Write the attention of one conformer layer.

    Returns:
        Its output, float32[FRAMES, 1, width], and the inputs of keys and values with the cached ones first,
        float32[left context + FRAMES, 1, width].
    """
    graph = writer.graph
    normed = writer.layer_norm(x, f"encoder.layers.{layer}.norm_self_att")
    cache = graph.op("Gather", caches, graph.constant(layer), axis=0)
    context = graph.op("Concat", _frames_first(graph, cache), normed, axis=0)
    name = f"encoder.layers.{layer}.self_attn.linear_"
    site = Site(Group.ATTENTION, Source.OTHER, layer)  # the LayerNorm feeds three layers and the cache
    query = writer.linear(normed, f"{name}q.weight", site, scale=writer.architecture.head_width**-0.5)
    keys, values = (writer.linear(context, f"{name}{part}.weight", site) for part in "kv")
    return attend(writer, query, keys, values, layer, positions, mask), context


def _before(graph: GraphWriter, earlier: ir.Value, new: ir.Value) -> ir.Value:
    return graph.op("Concat", earlier, new, axis=0)


def _frames_first(graph: GraphWriter, x: ir.Value) -> ir.Value:
    """float32[1, n, width] -> float32[n, 1, width]. The batch is 1, so no data moves."""
    return graph.op("Reshape", x, graph.constant([-1, 1, 0]))


def _batch_first(graph: GraphWriter, x: ir.Value) -> ir.Value:
    """float32[n, 1, width] -> float32[1, n, width]."""
    return graph.op("Reshape", x, graph.constant([1, -1, 0]))


def _stack(graph: GraphWriter, layers: list[ir.Value]) -> ir.Value:
    """Join the layers along a new first axis with a tree of Concat nodes.

    Browsers compute on a GPU with shaders that read few buffers, so no node has more than `JOINED` inputs.
    """
    parts = [graph.op("Unsqueeze", layer, graph.constant([0])) for layer in layers]
    while len(parts) > 1:
        groups = [parts[start : start + JOINED] for start in range(0, len(parts), JOINED)]
        parts = [graph.op("Concat", *group, axis=0) if len(group) > 1 else group[0] for group in groups]
    return parts[0]


def _int32(values: list[int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def _lengths(graph: GraphWriter, length: ir.Value) -> list[ir.Value]:
    """Valid frames of cache and window together: mel frames, then frames after each of the three strides of 2."""
    lengths = [graph.op("Add", length, graph.constant(_int32([PRE_CACHE])))]
    for _ in range(3):
        half = graph.op("Div", lengths[-1], graph.constant(_int32([2])))
        lengths.append(graph.op("Add", half, graph.constant(_int32([1]))))
    return lengths


def _encoded_length(graph: GraphWriter, length: ir.Value) -> ir.Value:
    frames = graph.op("Sub", _lengths(graph, length)[3], graph.constant(_int32([DROPPED])))
    return graph.op("Max", graph.op("Min", frames, graph.constant(_int32([FRAMES]))), graph.constant(_int32([0])))


def _subsampling_masks(graph: GraphWriter, length: ir.Value) -> list[ir.Value]:
    """Write the masks of `subsample`, which are 0 after the end of a short window.

    Before the window's start the cache holds frames, or the zeros that the application put there.
    """
    masks = []
    # The last 8n + 7, 4n + 3 and 2n + 1 of the 41, 21 and 11 frames of cache and window at each stage.
    for first, count, valid in zip((2, 2, 2), (39, 19, 9), _lengths(graph, length), strict=False):
        index = graph.constant(np.arange(first, first + count, dtype=np.int32))
        inside = graph.op("Cast", graph.op("Less", index, valid), to=int(ir.DataType.FLOAT))
        masks.append(graph.op("Reshape", inside, graph.constant([1, 1, count, 1])))
    return masks


def _positions(graph: GraphWriter, left: int) -> RelativePositions:
    nearest, farthest = -RIGHT_CONTEXT, left + RIGHT_CONTEXT
    count, keys = farthest - nearest + 1, left + FRAMES
    query, key = np.arange(FRAMES)[:, None], np.arange(keys)[None]
    index = query * count + (query + left - key) - nearest
    return RelativePositions(nearest, farthest, graph.constant(index.reshape(-1)), graph.constant([0, 0, FRAMES, keys]))


def _mask(graph: GraphWriter, left: int, cache_length: ir.Value, encoded_length: ir.Value) -> ir.Value:
    """Write the mask, float32[1, 1, 1, left + FRAMES]: whole cached chunks and valid new frames are visible."""
    key = graph.constant(np.arange(left + FRAMES, dtype=np.int32))
    used = graph.op("Min", cache_length, graph.constant(_int32([left // FRAMES * FRAMES])))
    first = graph.op("Sub", graph.constant(_int32([left])), used)
    end = graph.op("Add", encoded_length, graph.constant(_int32([left])))
    seen = graph.op("And", graph.op("GreaterOrEqual", key, first), graph.op("Less", key, end))
    mask = graph.op("Where", seen, graph.constant(0.0), graph.constant(MASKED))
    return graph.op("Reshape", mask, graph.constant([1, 1, 1, left + FRAMES]))
