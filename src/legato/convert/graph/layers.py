"""The building blocks of the encoder that both layouts share.

Activations are float32[frames, batch, channels] throughout: the cached frames of a stream are then joined to the new
frames, and cut off again, in one block of memory. Weights have the names that NeMo gives them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.architecture import Architecture
from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.precision import Precision, ReadVector
from legato.convert.graph.sites import Group, Linear, Site, Source
from legato.convert.graph.writer import GraphWriter

LAYER_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class EncoderWriter:
    """Writes encoder modules of one checkpoint into one graph."""

    graph: GraphWriter
    checkpoint: Checkpoint
    precision: Precision

    @property
    def architecture(self) -> Architecture:
        """The sizes of the model."""
        return self.checkpoint.architecture

    def vector(self, name: str) -> ir.Value:
        """Add a small weight (bias, norm), which is FP32 in every precision."""
        shape = self.architecture.weight_shapes()[name]
        return self.graph.weight(name, ir.DataType.FLOAT, shape, lambda: self.checkpoint.read(name))

    def linear(self, x: ir.Value, name: str, site: Site, *, scale: float = 1.0, norm: str | None = None) -> ir.Value:
        """Write `(x @ W.T + b) * scale`. The bias is omitted where the architecture has none for this layer.

        Args:
            x: float32[frames, batch, inputs].
            name: name of the weight, stored as [outputs, inputs], or [outputs, inputs, 1] for a 1x1 convolution.
            site: position of the layer.
            scale: factor that is folded into weight and bias.
            norm: name of a LayerNorm that is applied to x first and feeds this layer only.
        """
        outputs, inputs = self.architecture.weight_shapes()[name][:2]

        def read() -> NDArray[np.float32]:
            return self.checkpoint.read(name).reshape(outputs, inputs).T * np.float32(scale)

        layer = Linear(name, site, inputs, outputs, read)
        if norm is not None:
            x = self.norm_before(x, norm, layer)
        product = self.precision.linear(self.graph, x, layer)
        bias = f"{name.removesuffix('.weight')}.bias"
        if bias not in self.architecture.weight_shapes():
            return product

        def read_bias() -> NDArray[np.float32]:
            return self.checkpoint.read(bias) * np.float32(scale)

        return self.graph.op("Add", product, self.graph.weight(bias, ir.DataType.FLOAT, (outputs,), read_bias))

    def layer_norm(self, x: ir.Value, name: str) -> ir.Value:
        """Write a LayerNorm over the channels."""
        return self._layer_norm(x, self.vector(f"{name}.weight"), self.vector(f"{name}.bias"))

    def norm_before(self, x: ir.Value, name: str, layer: Linear) -> ir.Value:
        """Write the LayerNorm `name` that feeds `layer` only.

        The precision may shift and divide the channels between the two. Both are folded into the LayerNorm.
        """
        smoothing = self.precision.smoothing(layer)
        if smoothing is None:
            return self.layer_norm(x, name)

        def smoothed(part: str, shift: ReadVector | None = None) -> ir.Value:
            def read() -> NDArray[np.float32]:
                values = self.checkpoint.read(f"{name}.{part}")
                return (values if shift is None else values - shift()) / smoothing.factors()

            return self.graph.weight(f"{name}.{part}.smoothed", ir.DataType.FLOAT, (self.architecture.width,), read)

        return self._layer_norm(x, smoothed("weight"), smoothed("bias", smoothing.shift))

    def _layer_norm(self, x: ir.Value, scale: ir.Value, bias: ir.Value) -> ir.Value:
        return self.graph.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def silu(self, x: ir.Value) -> ir.Value:
        """Write `x * sigmoid(x)`, which ONNX Runtime fuses into one operator."""
        return self.graph.op("Mul", x, self.graph.op("Sigmoid", x))

    def feed_forward(self, x: ir.Value, layer: int, number: int) -> ir.Value:
        """Write `x` plus half of the output of a feed-forward module.

        The half is folded into the weights; multiplying by a power of 2 is exact.

        Args:
            x: float32[n, batch, width].
            layer: index of the conformer layer.
            number: 1 or 2, the module within the layer.
        """
        name = f"encoder.layers.{layer}"
        module = f"{name}.feed_forward{number}"
        with self.graph.scoped(f"feed_forward{number}"):
            first, second = (Site(Group.FEED_FORWARD, source, layer) for source in (Source.NORM, Source.SILU))
            inner = self.linear(x, f"{module}.linear1.weight", first, norm=f"{name}.norm_feed_forward{number}")
            inner = self.linear(self.silu(inner), f"{module}.linear2.weight", second, scale=0.5)
            return self.graph.op("Add", x, inner)

    def convolution(
        self, x: ir.Value, layer: int, join: Callable[[ir.Value], ir.Value]
    ) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Write `x` plus the output of the convolution module.

        Args:
            x: float32[n, batch, width].
            layer: index of the conformer layer.
            join: puts the kernel - 1 earlier inputs of the depthwise convolution before the new ones.

        Returns:
            float32[n, batch, width], and the inputs of the depthwise convolution: the new ones, float32[n, batch,
            width], and what `join` returned.
        """
        graph = self.graph
        name = f"encoder.layers.{layer}"
        first, second = (Site(Group.CONVOLUTION, source, layer) for source in (Source.NORM, Source.SILU))
        with graph.scoped("conv"):
            inner = self.linear(x, f"{name}.conv.pointwise_conv1.weight", first, norm=f"{name}.norm_conv")
            value, gate = graph.ops("Split", inner, outputs=2, axis=-1, num_outputs=2)
            new = graph.op("Mul", value, graph.op("Sigmoid", gate))
            joined = join(new)
            inner = self._depthwise(joined, f"{name}.conv.depthwise_conv.weight")
            inner = self.silu(self.layer_norm(inner, f"{name}.conv.batch_norm"))
            inner = self.linear(inner, f"{name}.conv.pointwise_conv2.weight", second)
            return graph.op("Add", x, inner), new, joined

    def _depthwise(self, x: ir.Value, name: str) -> ir.Value:
        """Write a depthwise convolution over frames: float32[kernel - 1 + n, batch, width] -> [n, batch, width].

        It is written as a convolution over an image of frames x batch, for which ONNX Runtime has a kernel that
        computes many channels at once. A one-dimensional convolution takes ten times as long.
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

    def prompt(self, x: ir.Value, prompt_bias: ir.Value, norm: str | None = None) -> ir.Value:
        """Write the language prompt, which follows the conformer layers.

        In NeMo, a frame and a one-hot prompt go through one linear layer. The half of its weight that the one-hot
        prompt multiplies is reduced to one row.

        Args:
            x: float32[n, batch, width].
            prompt_bias: float32[batch, prompt hidden], that row plus the bias of the layer.
            norm: name of a LayerNorm that is applied to x first.
        """
        graph, a = self.graph, self.architecture
        name = "prompt_kernel.0.weight"

        def read() -> NDArray[np.float32]:
            return self.checkpoint.read(name)[:, : a.width].T

        layer = Linear(name, Site(Group.PROMPT, Source.OTHER), a.width, a.prompt_hidden, read)
        if norm is not None:
            x = self.norm_before(x, norm, layer)
        inner = graph.op("Relu", graph.op("Add", self.precision.linear(graph, x, layer), prompt_bias))
        return self.linear(inner, "prompt_kernel.2.weight", Site(Group.PROMPT, Source.RELU))

    def prompt_table(self) -> ir.Value:
        """Add the row of every prompt slot, bias included: float32[prompts, prompt hidden]."""
        a = self.architecture

        def read() -> NDArray[np.float32]:
            rows = self.checkpoint.read("prompt_kernel.0.weight")[:, a.width :].T
            return rows + self.checkpoint.read("prompt_kernel.0.bias")

        return self.precision.parameter(self.graph, "prompt_kernel.0.prompts", (a.prompts, a.prompt_hidden), read)

    def last(self, x: ir.Value, count: int, *, axis: int) -> ir.Value:
        """Write a slice of the last `count` entries along an axis."""
        constant = self.graph.constant
        return self.graph.op("Slice", x, constant([-count]), constant([2**62]), constant([axis]))
