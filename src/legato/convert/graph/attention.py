"""Attention with relative positions (Transformer-XL, arXiv:1901.02860; NeMo's RelPositionMultiHeadAttention)."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.graph.layers import EncoderWriter
from legato.convert.graph.sites import Group, Site, Source
from legato.convert.graph.writer import GraphWriter

#: Added to the attention scores of keys that a query must not see. NeMo adds -10000 and then sets what is left to 0.
MASKED = -1e9


@dataclass(frozen=True)
class RelativePositions:
    """The distances between queries and keys, and the column of the position table for each pair.

    Attributes:
        nearest: the smallest distance (query minus key) in the table, in encoder frames; negative for a key in the
            future.
        farthest: the largest distance in the table, in encoder frames.
        index: int64[n * m], for the pair (i, j) the index `i * count + column` into a row of n * count scores.
        shape: int64[4], `[0, 0, n, m]` for Reshape.
        ones: float32[m, any], given where the bits of a frame must not depend on the number of frames that are computed
            with it. Sums over the keys are then products with `ones`, and index, shape and mask have one query more
            than there are frames, because ONNX Runtime sums products of a single row in another order.
    """

    nearest: int
    farthest: int
    index: ir.Value
    shape: ir.Value
    ones: ir.Value | None = None

    @property
    def count(self) -> int:
        """The number of distances in the table."""
        return self.farthest - self.nearest + 1

    def encodings(self, width: int) -> NDArray[np.float64]:
        """Return sinusoidal encodings of the distances, sine and cosine interleaved: float64[count, width]."""
        distances = np.arange(self.nearest, self.farthest + 1)[:, None]
        angles = distances * np.exp(-np.log(10000.0) * np.arange(0, width, 2) / width)
        return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(distances), width)

    def pick(self, graph: GraphWriter, scores: ir.Value) -> ir.Value:
        """Write the selection of scores by key, float32[batch, heads, n, m], from float32[batch, heads, n, count]."""
        flat = graph.op("Reshape", scores, graph.constant([0, 0, -1]))
        return graph.op("Reshape", graph.op("Gather", flat, self.index, axis=2), self.shape)


def attend(
    writer: EncoderWriter,
    query: ir.Value,
    keys: ir.Value,
    values: ir.Value,
    layer: int,
    positions: RelativePositions,
    mask: ir.Value,
) -> ir.Value:
    """Write the attention of one conformer layer and its output projection.

    Args:
        query: float32[n, batch, width], without position bias, already multiplied by head_width ** -0.5.
        keys, values: float32[m, batch, width], the m - n cached frames first.
        layer: index of the conformer layer.
        positions: the distances of queries and keys.
        mask: float32[batch, 1, n, m], 0 or `MASKED`; with one query more where `positions.ones` is given.

    Returns:
        float32[n, batch, width].
    """
    graph, a = writer.graph, writer.architecture
    if positions.ones is not None:
        query = graph.op("Pad", query, graph.constant([0, 0, 0, 1, 0, 0]))
    by_content, by_position = (
        graph.op(
            "Transpose",
            _heads(writer, graph.op("Add", query, _position_bias(writer, layer, bias))),
            perm=[1, 2, 0, 3],
        )
        for bias in ("u", "v")
    )
    # ONNX Runtime fuses such a Transpose into the product, which then reads the rows in place.
    scores = graph.op("MatMul", by_content, graph.op("Transpose", _heads(writer, keys), perm=[1, 2, 3, 0]))
    distances = graph.op("MatMul", by_position, _position_table(writer, layer, positions))
    scores = graph.op("Add", scores, positions.pick(graph, distances))
    values = graph.op("Transpose", _heads(writer, values), perm=[1, 2, 0, 3])
    context = _weighted(graph, graph.op("Add", scores, mask), values, positions)
    context = graph.op("Transpose", context, perm=[2, 0, 1, 3])
    context = graph.op("Reshape", context, graph.constant([0, 0, a.width]))
    if positions.ones is not None:  # drop the additional query
        context = graph.op("Slice", context, graph.constant([0]), graph.constant([-1]), graph.constant([0]))
    site = Site(Group.ATTENTION, Source.OTHER, layer)
    return writer.linear(context, f"encoder.layers.{layer}.self_attn.linear_out.weight", site)


def _heads(writer: EncoderWriter, x: ir.Value) -> ir.Value:
    """float32[n, batch, width] -> float32[n, batch, heads, head width]."""
    a = writer.architecture
    return writer.graph.op("Reshape", x, writer.graph.constant([0, 0, a.heads, a.head_width]))


def _weighted(graph: GraphWriter, scores: ir.Value, values: ir.Value, positions: RelativePositions) -> ir.Value:
    """Write `softmax(scores) @ values`: float32[batch, heads, queries, head width]."""
    if positions.ones is None:
        return graph.op("MatMul", graph.op("Softmax", scores, axis=-1), values)
    # Softmax sums the keys in an order that depends on the position of the visible ones among all. A product sums them
    # one after another, and zeros before and after them do not change the sum.
    highest = graph.op("ReduceMax", scores, graph.constant([-1]), keepdims=1)
    weights = graph.op("Exp", graph.op("Sub", scores, highest))
    total = graph.op("MatMul", weights, positions.ones)
    total = graph.op("Slice", total, graph.constant([0]), graph.constant([1]), graph.constant([-1]))
    return graph.op("Div", graph.op("MatMul", weights, values), total)


def _position_bias(writer: EncoderWriter, layer: int, bias: str) -> ir.Value:
    name = f"encoder.layers.{layer}.self_attn.pos_bias_{bias}"
    scale = np.float32(writer.architecture.head_width**-0.5)

    def read() -> NDArray[np.float32]:
        return writer.checkpoint.read(name).reshape(-1) * scale

    return writer.graph.weight(name, ir.DataType.FLOAT, (writer.architecture.width,), read)


def _position_table(writer: EncoderWriter, layer: int, positions: RelativePositions) -> ir.Value:
    """Add the projected encodings of every distance, which are constant: float32[heads, head width, distances]."""
    a, name = writer.architecture, f"encoder.layers.{layer}.self_attn"

    def read() -> NDArray[np.float32]:
        weight = writer.checkpoint.read(f"{name}.linear_pos.weight").T.astype(np.float64)
        projected = positions.encodings(a.width) @ weight
        return projected.reshape(-1, a.heads, a.head_width).transpose(1, 2, 0).astype(np.float32)

    shape = (a.heads, a.head_width, positions.count)
    return writer.precision.parameter(writer.graph, f"{name}.positions", shape, read)
