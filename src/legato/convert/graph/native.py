"""The native encoder graph: any batch, any number of frames per call, any right context, keys and values cached.

Every row of the batch states its position in its own stream, so rows may join, leave and end at any call, and one call
may hold several chunks: under the chunked mask, a frame does not depend on the number of frames that are computed with
it. With linear layers that process every row by itself (see `legato.convert.quantize`) this holds to the last bit, as
long as left context and frames of a call make at most 128 keys, the block in which ONNX Runtime sums FP32 products.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.attention import MASKED, RelativePositions, attend
from legato.convert.graph.layers import EncoderWriter
from legato.convert.graph.precision import Precision
from legato.convert.graph.sites import Group, Linear, Site, Source
from legato.convert.graph.subsampling import subsample
from legato.convert.graph.writer import GraphWriter

#: Columns of `RelativePositions.ones`: one vector register.
_ONES = 16

#: (cache that the graph takes, the new frames)
_Cache = tuple[ir.Value, ir.Value]


def write_native_encoder(checkpoint: Checkpoint, precision: Precision) -> ir.Model:
    """Write the native encoder.

    Inputs, for B rows of n encoder frames:
        mel float32[B, 8n + 7, bins]: the mel frames from `8 * start - 14` on, zeros where there are none;
        start int64[B]: index of the first encoder frame in its stream, a multiple of `chunk`;
        mel_length int64[B]: number of mel frames of the whole utterance, or any larger number while it is not known;
        chunk int64[B]: right context + 1, in encoder frames;
        prompt int64[B]: language-prompt slot;
        key_cache_L, value_cache_L float32[left context + n, B, width] and conv_cache_L float32[kernel - 1 + n, B,
        width] for every layer L: the last frames of the stream, zeros before its start, and room for the n new frames.

    Outputs: `encoded` float32[B, n, width], the frames after the language prompt, and for every cache an output with
    the prefix `new_`, the n new frames. **The caller must place each of them in the room at the end of its cache**: the
    graph reads the whole cache after it has computed the new frames. So no cached frame is copied.
    """
    a = checkpoint.architecture
    graph = GraphWriter("encoder")
    writer = EncoderWriter(graph, checkpoint, precision)
    mel = graph.input("mel", ir.DataType.FLOAT, ["batch", "mel_frames", a.mel.mel_bins])
    start, mel_length, chunk, prompt = (
        graph.input(name, ir.DataType.INT64, ["batch"]) for name in ("start", "mel_length", "chunk", "prompt")
    )
    with graph.scoped("subsampling"):
        x = subsample(writer, mel, _subsampling_masks(graph, mel, start, mel_length))
    with graph.scoped("positions"):
        frames = graph.op("Shape", x, start=0, end=1)
        positions = _positions(graph, frames, a.left_context, a.max_right_context)
        mask = _attention_mask(graph, frames, start, mel_length, chunk, a.left_context)
    caches: list[_Cache] = []
    for layer in range(a.layers):
        with graph.scoped(f"layers.{layer}"):
            x, found = _conformer_layer(writer, x, layer, positions, mask)
            caches += found
    with graph.scoped("prompt"):
        last = f"encoder.layers.{a.layers - 1}.norm_out"
        x = writer.prompt(x, graph.op("Gather", writer.prompt_table(), prompt, axis=0), last)
    x = graph.op("Transpose", x, perm=[1, 0, 2])
    graph.output(x, "encoded", ir.DataType.FLOAT, ["batch", "frames", a.width])
    for cache, new in caches:
        graph.output(new, f"new_{cache.name}", ir.DataType.FLOAT, ["frames", "batch", a.width])
    return graph.model("Legato native streaming encoder")


def _conformer_layer(
    writer: EncoderWriter, x: ir.Value, layer: int, positions: RelativePositions, mask: ir.Value
) -> tuple[ir.Value, list[_Cache]]:
    graph, a = writer.graph, writer.architecture
    key_cache, value_cache, conv_cache = (
        graph.input(f"{name}_cache_{layer}", ir.DataType.FLOAT, [frames, "batch", a.width])
        for name, frames in (("key", "keys"), ("value", "keys"), ("conv", "inputs"))
    )
    x = writer.feed_forward(x, layer, 1)
    with graph.scoped("self_attn"):
        query, key, value = _project(writer, x, layer)
        keys, values = (filled(graph, cache, new) for cache, new in ((key_cache, key), (value_cache, value)))
        x = graph.op("Add", x, attend(writer, query, keys, values, layer, positions, mask))
    x, convolved, _ = writer.convolution(x, layer, lambda new: filled(graph, conv_cache, new))
    x = writer.feed_forward(x, layer, 2)
    if layer < a.layers - 1:  # `EncoderWriter.prompt` writes the last one
        x = writer.layer_norm(x, f"encoder.layers.{layer}.norm_out")
    return x, [(key_cache, key), (value_cache, value), (conv_cache, convolved)]


def filled(graph: GraphWriter, cache: ir.Value, new: ir.Value) -> ir.Value:
    """Write `cache` as it is when `new` has been computed, which the caller has placed in its memory.

    A Reshape that changes nothing takes no time. Its shape [0, 0, 0] (every dimension as before) is computed from the
    size of `new`, so ONNX Runtime runs it, and what reads its output, after `new`.
    """
    shape = graph.op("Min", graph.constant([0, 0, 0]), graph.op("Size", new))
    return graph.op("Reshape", cache, shape)


def _project(writer: EncoderWriter, x: ir.Value, layer: int) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Write query (scaled), key and value of the new frames as one product."""
    graph, a = writer.graph, writer.architecture
    name = f"encoder.layers.{layer}.self_attn.linear_"
    scale = np.float32(a.head_width**-0.5)

    def read(kind: str) -> NDArray[np.float32]:
        q, k, v = (writer.checkpoint.read(f"{name}{part}.{kind}") for part in "qkv")
        return np.concatenate([q * scale, k, v])

    site = Site(Group.ATTENTION, Source.NORM, layer)
    linear = Linear(f"{name}qkv.weight", site, a.width, 3 * a.width, lambda: read("weight").T)
    normed = writer.norm_before(x, f"encoder.layers.{layer}.norm_self_att", linear)
    product = writer.precision.linear(graph, normed, linear)
    if a.attention_bias:
        biases = graph.weight(f"{name}qkv.bias", ir.DataType.FLOAT, (3 * a.width,), lambda: read("bias"))
        product = graph.op("Add", product, biases)
    query, key, value = graph.ops("Split", product, outputs=3, axis=-1, num_outputs=3)
    return query, key, value


def _halve(graph: GraphWriter, length: ir.Value) -> ir.Value:
    """Frames after one causal stride of 2: length // 2 + 1."""
    return graph.op("Add", graph.op("Div", length, graph.constant([2])), graph.constant([1]))


def _range(graph: GraphWriter, count: ir.Value) -> ir.Value:
    """int64[count]: 0, 1, ... for count int64[1]."""
    constant = graph.constant
    return graph.op("Range", constant(0), graph.op("Squeeze", count, constant([0])), constant(1))


def _column(graph: GraphWriter, value: ir.Value) -> ir.Value:
    """int64[B] -> int64[B, 1]."""
    return graph.op("Unsqueeze", value, graph.constant([1]))


def _within(graph: GraphWriter, index: ir.Value, length: ir.Value) -> ir.Value:
    """bool[B, count]: 0 <= index < length."""
    not_before = graph.op("GreaterOrEqual", index, graph.constant([0]))
    return graph.op("And", not_before, graph.op("Less", index, _column(graph, length)))


def _subsampling_masks(graph: GraphWriter, mel: ir.Value, start: ir.Value, mel_length: ir.Value) -> list[ir.Value]:
    """Write the masks of `subsample`: for the mel frames, then for the outputs of its first two strided layers."""
    constant = graph.constant
    masks = []
    count, length = graph.op("Shape", mel, start=1, end=2), mel_length
    for factor, lead in ((8, 14), (4, 6), (2, 2)):
        first = graph.op("Sub", graph.op("Mul", start, constant([factor])), constant([lead]))
        index = graph.op("Add", _column(graph, first), _range(graph, count))
        inside = graph.op("Cast", _within(graph, index, length), to=int(ir.DataType.FLOAT))
        masks.append(graph.op("Unsqueeze", inside, constant([1, 3])))
        length = _halve(graph, length)
        count = graph.op("Div", graph.op("Sub", count, constant([1])), constant([2]))
    return masks


def _positions(graph: GraphWriter, frames: ir.Value, left: int, max_right: int) -> RelativePositions:
    """Write the positions: key j of a call lies `i + left - j` frames before query i.

    Distances beyond the table are clipped to it. Every mask hides such pairs, so their scores are not used.
    """
    constant = graph.constant
    nearest, farthest = -max_right, left + max_right
    keys, queries = graph.op("Add", frames, constant([left])), _queries(graph, frames)
    query = _column(graph, _range(graph, queries))
    distance = graph.op("Sub", graph.op("Add", query, constant([left])), _range(graph, keys))
    column = graph.op("Sub", graph.op("Clip", distance, constant(nearest), constant(farthest)), constant([nearest]))
    row = graph.op("Mul", query, constant([farthest - nearest + 1]))
    index = graph.op("Reshape", graph.op("Add", row, column), constant([-1]))
    shape = graph.op("Concat", constant([0, 0]), queries, keys, axis=0)
    ones = graph.op("Expand", constant(1.0), graph.op("Concat", keys, constant([_ONES]), axis=0))
    return RelativePositions(nearest, farthest, index, shape, ones)


def _queries(graph: GraphWriter, frames: ir.Value) -> ir.Value:
    """Number of queries of a call: its frames, and the additional query that `RelativePositions.ones` requires."""
    return graph.op("Add", frames, graph.constant([1]))


def _attention_mask(
    graph: GraphWriter, frames: ir.Value, start: ir.Value, mel_length: ir.Value, chunk: ir.Value, left: int
) -> ir.Value:
    """Write NeMo's `chunked_limited` mask for frames at any position in their stream: float32[B, 1, n + 1, left + n].

    A query sees its own chunk and the `left // chunk` chunks before it, within the utterance.
    """
    constant = graph.constant
    length = _halve(graph, _halve(graph, _halve(graph, mel_length)))
    query = graph.op("Add", _column(graph, start), _range(graph, _queries(graph, frames)))
    keys = graph.op("Add", frames, constant([left]))
    key = graph.op("Sub", graph.op("Add", _column(graph, start), _range(graph, keys)), constant([left]))
    # Div rounds toward zero, which is wrong for keys before the stream, but `_within` masks those.
    query_chunk = graph.op("Unsqueeze", graph.op("Div", query, _column(graph, chunk)), constant([2]))
    key_chunk = graph.op("Unsqueeze", graph.op("Div", key, _column(graph, chunk)), constant([1]))
    age = graph.op("Sub", query_chunk, key_chunk)  # in chunks
    chunks = graph.op("Unsqueeze", graph.op("Div", constant([left]), chunk), constant([1, 2]))
    seen = graph.op("And", graph.op("GreaterOrEqual", age, constant([0])), graph.op("LessOrEqual", age, chunks))
    seen = graph.op("And", seen, graph.op("Unsqueeze", _within(graph, key, length), constant([1])))
    mask = graph.op("Where", seen, constant(0.0), constant(MASKED))
    return graph.op("Unsqueeze", mask, constant([1]))
