"""The building blocks of the encoder, shared by both layouts.

Activations are float32[frames, batch, channels] throughout: what a stream keeps of the past is then joined to the new
frames, and cut off again, in one block of memory. Weights are named as NeMo names them.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.architecture import Architecture
from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.precision import Precision, ReadMatrix

LAYER_NORM_EPSILON = 1e-5
#: Added to the attention scores of keys that a query must not see. NeMo adds -10000 and then clears what is left.
MASKED = -1e9


@dataclass(frozen=True)
class EncoderWriter:
    """Writes encoder modules of one checkpoint into one graph."""

    graph: GraphWriter
    checkpoint: Checkpoint
    precision: Precision

    @property
    def architecture(self) -> Architecture:
        """Sizes of the model."""
        return self.checkpoint.architecture

    def vector(self, name: str) -> ir.Value:
        """A small weight (bias, norm), always float32."""
        shape = self.architecture.weight_shapes()[name]
        return self.graph.weight(name, ir.DataType.FLOAT, shape, lambda: self.checkpoint.read(name))

    def linear(self, x: ir.Value, name: str, *, scale: float = 1.0) -> ir.Value:
        """`(x @ W.T + b) * scale` for a weight stored as [outputs, inputs], a 1x1 convolution's with a third axis.

        The bias is there if the architecture has one for this layer.
        """
        outputs, inputs = self.architecture.weight_shapes()[name][:2]
        product = self.precision.linear(self.graph, x, name, inputs, outputs, self.matrix(name, scale=scale))
        bias = f"{name.removesuffix('.weight')}.bias"
        if bias not in self.architecture.weight_shapes():
            return product

        def read_bias() -> NDArray[np.float32]:
            return self.checkpoint.read(bias) * np.float32(scale)

        return self.graph.op("Add", product, self.graph.weight(bias, ir.DataType.FLOAT, (outputs,), read_bias))

    def layer_norm(self, x: ir.Value, name: str) -> ir.Value:
        """LayerNorm over the channels."""
        scale, bias = self.vector(f"{name}.weight"), self.vector(f"{name}.bias")
        return self.graph.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def norm_before(self, x: ir.Value, norm: str, name: str, read: ReadMatrix) -> ir.Value:
        """LayerNorm `norm` in front of the linear layer with weight `name`, its only consumer.

        Between the two the precision may scale the channels.
        """
        smoothing = self.precision.smoothing(name, read)
        if smoothing is None:
            return self.layer_norm(x, norm)
        scale, bias = (
            self.graph.weight(
                f"{norm}.{part}.smoothed",
                ir.DataType.FLOAT,
                (self.architecture.width,),
                partial(lambda weight: self.checkpoint.read(weight) / smoothing(), f"{norm}.{part}"),
            )
            for part in ("weight", "bias")
        )
        return self.graph.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def matrix(self, name: str, *, scale: float = 1.0) -> ReadMatrix:
        """Reads a linear layer's or a 1x1 convolution's weight as float32[inputs, outputs], times `scale`."""
        outputs, inputs = self.architecture.weight_shapes()[name][:2]
        return lambda: self.checkpoint.read(name).reshape(outputs, inputs).T * np.float32(scale)

    def silu(self, x: ir.Value) -> ir.Value:
        """X * sigmoid(x); ONNX Runtime fuses the two."""
        return self.graph.op("Mul", x, self.graph.op("Sigmoid", x))

    def subsampling(self, mel: ir.Value, masks: list[ir.Value]) -> ir.Value:
        """NeMo's causal `dw_striding` stack without its padding in time, and the projection behind it.

        NeMo pads every convolution with zeros in time: two before the start and one behind the end. Here the caller
        gives real frames wherever there are any, and the masks put zeros where NeMo's padding is, *after each layer*:
        a zero mel frame is not the same, because a convolution turns it into its bias.

        Args:
            mel: float32[batch, 8 * n + 7, bins], the frames that n encoder frames depend on.
            masks: float32[batch, 1, frames, 1] for the mel frames and for the outputs of the first two convolutions
                (4 * n + 3 and 2 * n + 1 frames): 1 within the utterance, 0 outside.

        Returns:
            float32[n, batch, width].
        """
        graph, a = self.graph, self.architecture
        channels = a.subsampling_channels
        x = graph.op("Mul", graph.op("Unsqueeze", mel, graph.constant([1])), masks[0])
        x = self._conv2d(x, 0, strides=[2, 2])
        x = graph.op("Mul", graph.op("Relu", x), masks[1])
        x = self._conv2d(self._conv2d(x, 2, strides=[2, 2], group=channels), 3)
        x = graph.op("Mul", graph.op("Relu", x), masks[2])
        x = self._conv2d(self._conv2d(x, 5, strides=[2, 2], group=channels), 6)
        x = graph.op("Transpose", graph.op("Relu", x), perm=[2, 0, 1, 3])
        x = graph.op("Reshape", x, graph.constant([0, 0, channels * a.subsampled_bins]))
        return self.linear(x, "encoder.pre_encode.out.weight", scale=a.input_scale)

    def _conv2d(self, x: ir.Value, number: int, *, strides: list[int] | None = None, group: int = 1) -> ir.Value:
        name = f"encoder.pre_encode.conv.{number}"
        shape = self.architecture.weight_shapes()[f"{name}.weight"]
        weight = self.precision.parameter(
            self.graph, f"{name}.weight", shape, lambda: self.checkpoint.read(f"{name}.weight")
        )
        pads = [0, 2, 0, 1] if strides else [0, 0, 0, 0]  # frequency is padded as NeMo does, time never
        kernel = list(shape[2:])
        return self.graph.op(
            "Conv", x, weight, self.vector(f"{name}.bias"), strides=strides or [1, 1], pads=pads, group=group,
            kernel_shape=kernel,
        )  # fmt: skip

    def feed_forward(self, x: ir.Value, layer: int, number: int) -> ir.Value:
        """X + half of a feed-forward module; the half is folded into the weights, where it is exact."""
        name = f"encoder.layers.{layer}"
        with self.graph.scoped(f"feed_forward{number}"):
            linear1 = f"{name}.feed_forward{number}.linear1.weight"
            inner = self.norm_before(x, f"{name}.norm_feed_forward{number}", linear1, self.matrix(linear1))
            inner = self.silu(self.linear(inner, linear1))
            return self.graph.op("Add", x, self.linear(inner, f"{name}.feed_forward{number}.linear2.weight", scale=0.5))

    def convolution(self, x: ir.Value, layer: int, cache: ir.Value) -> tuple[ir.Value, ir.Value]:
        """X + the convolution module.

        Args:
            x: float32[n, batch, width].
            layer: number of the conformer layer.
            cache: float32[kernel - 1, batch, width], the depthwise convolution's inputs before x.

        Returns:
            float32[n, batch, width]; and the depthwise convolution's inputs, float32[kernel - 1 + n, batch, width], of
            which the last kernel - 1 are the cache for the next call.
        """
        graph = self.graph
        name = f"encoder.layers.{layer}"
        with graph.scoped("conv"):
            pointwise = f"{name}.conv.pointwise_conv1.weight"
            inner = self.norm_before(x, f"{name}.norm_conv", pointwise, self.matrix(pointwise))
            inner = self.linear(inner, pointwise)
            value, gate = graph.ops("Split", inner, outputs=2, axis=-1, num_outputs=2)
            inner = graph.op("Mul", value, graph.op("Sigmoid", gate))
            joined = graph.op("Concat", cache, inner, axis=0)
            inner = self._depthwise(joined, f"{name}.conv.depthwise_conv.weight")
            inner = self.silu(self.layer_norm(inner, f"{name}.conv.batch_norm"))
            inner = self.linear(inner, f"{name}.conv.pointwise_conv2.weight")
            return graph.op("Add", x, inner), joined

    def _depthwise(self, x: ir.Value, name: str) -> ir.Value:
        """Depthwise convolution over frames: float32[kernel - 1 + n, batch, width] -> float32[n, batch, width].

        Written as a convolution over the image frames x batch, for which ONNX Runtime has a kernel for many channels
        at once; one over a line takes ten times as long.
        """
        width, _, kernel = self.architecture.weight_shapes()[name]
        weight = self.precision.parameter(
            self.graph, name, (width, 1, kernel, 1), lambda: self.checkpoint.read(name)[..., None]
        )
        bias = self.vector(f"{name.removesuffix('.weight')}.bias") if self.architecture.convolution_bias else None
        image = self.graph.op("Unsqueeze", x, self.graph.constant([0]))
        image = self.graph.op("Transpose", image, perm=[0, 3, 1, 2])
        image = self.graph.op("Conv", image, weight, bias, group=width, kernel_shape=[kernel, 1])
        image = self.graph.op("Transpose", image, perm=[0, 2, 3, 1])
        return self.graph.op("Squeeze", image, self.graph.constant([0]))

    def _heads(self, x: ir.Value) -> ir.Value:
        """float32[n, batch, width] -> float32[n, batch, heads, head width]."""
        a = self.architecture
        return self.graph.op("Reshape", x, self.graph.constant([0, 0, a.heads, a.head_width]))

    def attend(
        self,
        query: ir.Value,
        keys: ir.Value,
        values: ir.Value,
        layer: int,
        positions: "RelativePositions",
        mask: ir.Value,
    ) -> ir.Value:
        """Transformer-XL attention and the output projection.

        Args:
            query: float32[n, batch, width], scaled by head_width ** -0.5 already, without bias.
            keys, values: float32[m, batch, width], the m - n cached frames first.
            layer: number of the conformer layer.
            positions: where queries and keys lie.
            mask: float32[batch, 1, n, m], 0 or `MASKED`, with a query more where `positions.ones` is given.

        Returns:
            float32[n, batch, width].
        """
        graph, a = self.graph, self.architecture
        scale = np.float32(a.head_width**-0.5)
        if positions.ones is not None:
            query = graph.op("Pad", query, graph.constant([0, 0, 0, 1, 0, 0]))
        by_content, by_position = (
            graph.op(
                "Transpose",
                self._heads(graph.op("Add", query, self._position_bias(layer, bias, scale))),
                perm=[1, 2, 0, 3],
            )
            for bias in ("u", "v")
        )
        # ONNX Runtime takes such a Transpose into the product, which then reads the rows where they are.
        scores = graph.op("MatMul", by_content, graph.op("Transpose", self._heads(keys), perm=[1, 2, 3, 0]))
        distances = graph.op("MatMul", by_position, self._position_table(layer, positions))
        scores = graph.op("Add", scores, positions.pick(graph, distances))
        values = graph.op("Transpose", self._heads(values), perm=[1, 2, 0, 3])
        context = self._weighted(graph.op("Add", scores, mask), values, positions)
        context = graph.op("Transpose", context, perm=[2, 0, 1, 3])
        context = graph.op("Reshape", context, graph.constant([0, 0, a.width]))
        if positions.ones is not None:
            context = self._without_last(context)
        return self.linear(context, f"encoder.layers.{layer}.self_attn.linear_out.weight")

    def _weighted(self, scores: ir.Value, values: ir.Value, positions: "RelativePositions") -> ir.Value:
        """`softmax(scores) @ values`: float32[batch, heads, queries, head width]."""
        graph = self.graph
        if positions.ones is None:
            return graph.op("MatMul", graph.op("Softmax", scores, axis=-1), values)
        # Softmax sums the keys in an order that depends on where the seen ones stand among all; a product takes them
        # one after another, and zeros in front and behind leave its sum as it is.
        highest = graph.op("ReduceMax", scores, graph.constant([-1]), keepdims=1)
        weights = graph.op("Exp", graph.op("Sub", scores, highest))
        total = graph.op("MatMul", weights, positions.ones)
        total = graph.op("Slice", total, graph.constant([0]), graph.constant([1]), graph.constant([-1]))
        return graph.op("Div", graph.op("MatMul", weights, values), total)

    def _without_last(self, x: ir.Value) -> ir.Value:
        """All frames but the last."""
        constant = self.graph.constant
        return self.graph.op("Slice", x, constant([0]), constant([-1]), constant([0]))

    def _position_bias(self, layer: int, bias: str, scale: np.float32) -> ir.Value:
        name = f"encoder.layers.{layer}.self_attn.pos_bias_{bias}"
        shape = (self.architecture.width,)
        return self.graph.weight(name, ir.DataType.FLOAT, shape, lambda: self.checkpoint.read(name).reshape(-1) * scale)

    def _position_table(self, layer: int, positions: "RelativePositions") -> ir.Value:
        """Projected encodings of every distance: float32[heads, head width, distances], a constant of the weights."""
        a, name = self.architecture, f"encoder.layers.{layer}.self_attn.linear_pos.weight"

        def read() -> NDArray[np.float32]:
            projected = positions.encodings(a.width) @ self.checkpoint.read(name).T.astype(np.float64)
            return projected.reshape(-1, a.heads, a.head_width).transpose(1, 2, 0).astype(np.float32)

        shape = (a.heads, a.head_width, positions.count)
        return self.precision.parameter(self.graph, f"encoder.layers.{layer}.self_attn.positions", shape, read)

    def prompt(self, x: ir.Value, prompt_bias: ir.Value) -> ir.Value:
        """The language prompt behind the encoder.

        The frame and the one-hot prompt go through one linear layer; of the one-hot's half only a row remains.

        Args:
            x: float32[n, batch, width].
            prompt_bias: float32[batch, prompt hidden], that row with the layer's bias.
        """
        graph, a = self.graph, self.architecture
        name = "prompt_kernel.0.weight"

        def read() -> NDArray[np.float32]:
            return self.checkpoint.read(name)[:, : a.width].T

        inner = self.precision.linear(graph, x, name, a.width, a.prompt_hidden, read)
        inner = graph.op("Relu", graph.op("Add", inner, prompt_bias))
        return self.linear(inner, "prompt_kernel.2.weight")

    def prompt_table(self) -> ir.Value:
        """Row of every prompt slot, bias included: float32[prompts, prompt hidden]."""
        a = self.architecture

        def read() -> NDArray[np.float32]:
            rows = self.checkpoint.read("prompt_kernel.0.weight")[:, a.width :].T
            return rows + self.checkpoint.read("prompt_kernel.0.bias")

        return self.precision.parameter(self.graph, "prompt_kernel.0.prompts", (a.prompts, a.prompt_hidden), read)

    def last(self, x: ir.Value, count: int, *, axis: int) -> ir.Value:
        """The last `count` entries along an axis."""
        constant = self.graph.constant
        return self.graph.op("Slice", x, constant([-count]), constant([2**62]), constant([axis]))


@dataclass(frozen=True)
class RelativePositions:
    """Distances between queries and keys, and which column of the position table each pair takes.

    Attributes:
        nearest: the smallest distance (query minus key) in the table, negative: a key in the future.
        farthest: the largest distance in the table.
        index: int64[n * m], for the pair (i, j) the index `i * count + column` into a row of n * count scores.
        shape: int64[4], `[0, 0, n, m]` for Reshape.
        ones: float32[m, any], where a frame's bits must not depend on how many are computed with it: sums over the keys
            are products with it, and index, shape and mask have one query more than there are frames, because products
            of a single row are summed in another order.
    """

    nearest: int
    farthest: int
    index: ir.Value
    shape: ir.Value
    ones: ir.Value | None = None

    @property
    def count(self) -> int:
        """Number of distances in the table."""
        return self.farthest - self.nearest + 1

    def encodings(self, width: int) -> NDArray[np.float64]:
        """Sinusoidal encodings of the distances, sine and cosine interleaved: float64[count, width]."""
        distances = np.arange(self.nearest, self.farthest + 1)[:, None]
        angles = distances * np.exp(-np.log(10000.0) * np.arange(0, width, 2) / width)
        return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(distances), width)

    def pick(self, graph: GraphWriter, scores: ir.Value) -> ir.Value:
        """float32[batch, heads, n, count] by distance -> float32[batch, heads, n, m] by key."""
        flat = graph.op("Reshape", scores, graph.constant([0, 0, -1]))
        return graph.op("Reshape", graph.op("Gather", flat, self.index, axis=2), self.shape)
