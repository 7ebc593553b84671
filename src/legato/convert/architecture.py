"""The sizes of one model, independent of the framework that saved it."""

import math
from dataclasses import dataclass

from legato.chunks import RIGHT_CONTEXTS
from legato.types import MelConfig


@dataclass(frozen=True)
class Architecture:
    """Sizes of a cache-aware FastConformer RNN-T with a language prompt.

    Attributes:
        layers: number of conformer layers.
        width: channels of an encoder frame (NeMo's d_model).
        heads: number of attention heads.
        feed_forward: inner width of the feed-forward modules.
        conv_kernel: kernel size of the causal depthwise convolution, in encoder frames.
        subsampling_channels: channels of the strided Conv2d stack.
        left_context: the largest number of encoder frames before the current chunk that attention sees.
        right_contexts: right contexts that the model was trained with, in encoder frames, its default first.
        prompts: number of language-prompt slots.
        prompt_hidden: inner width of the prompt projection.
        prediction_hidden: width of the prediction net.
        prediction_layers: LSTM layers of the prediction net.
        joint_hidden: inner width of the joint.
        vocabulary: number of tokens without blank, which is also the id of blank.
        max_symbols: the largest number of tokens that greedy search emits on one frame.
        mel: parameters of the front end.
        input_scale: factor on the subsampled frames: 1, or the square root of the width (NeMo's `xscaling`).
        attention_bias: whether the linear layers of attention and feed-forward modules have biases.
        convolution_bias: whether the convolution modules have biases.
    """

    layers: int
    width: int
    heads: int
    feed_forward: int
    conv_kernel: int
    subsampling_channels: int
    left_context: int
    right_contexts: tuple[int, ...]
    prompts: int
    prompt_hidden: int
    prediction_hidden: int
    prediction_layers: int
    joint_hidden: int
    vocabulary: int
    max_symbols: int
    mel: MelConfig
    input_scale: float
    attention_bias: bool
    convolution_bias: bool

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    @property
    def conv_cache(self) -> int:
        """Encoder frames of left context that the depthwise convolution needs."""
        return self.conv_kernel - 1

    @property
    def max_right_context(self) -> int:
        """The largest right context that a native graph must support, in encoder frames."""
        return max(*RIGHT_CONTEXTS, *self.right_contexts)

    @property
    def subsampled_bins(self) -> int:
        """Frequency bins after three causal strides of 2, with a padding of 2 before and 1 after each."""
        bins = self.mel.mel_bins
        for _ in range(3):
            bins = bins // 2 + 1
        return bins

    @property
    def parameters(self) -> int:
        """The number of elements of all weights."""
        return sum(math.prod(shape) for shape in self.weight_shapes().values())

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name (as NeMo names it) and shape of every weight that the model must have."""
        d, c, p, j = self.width, self.subsampling_channels, self.prediction_hidden, self.joint_hidden
        shapes: dict[str, tuple[int, ...]] = {
            "encoder.pre_encode.conv.0.weight": (c, 1, 3, 3),
            "encoder.pre_encode.conv.0.bias": (c,),
            "encoder.pre_encode.out.weight": (d, c * self.subsampled_bins),
            "encoder.pre_encode.out.bias": (d,),
            "prompt_kernel.0.weight": (self.prompt_hidden, d + self.prompts),
            "prompt_kernel.0.bias": (self.prompt_hidden,),
            "prompt_kernel.2.weight": (d, self.prompt_hidden),
            "prompt_kernel.2.bias": (d,),
            "decoder.prediction.embed.weight": (self.vocabulary + 1, p),
            "joint.enc.weight": (j, d),
            "joint.enc.bias": (j,),
            "joint.pred.weight": (j, p),
            "joint.pred.bias": (j,),
            "joint.joint_net.out.weight": (self.vocabulary + 1, j),
            "joint.joint_net.out.bias": (self.vocabulary + 1,),
        }
        for depthwise, pointwise in ((2, 3), (5, 6)):
            shapes[f"encoder.pre_encode.conv.{depthwise}.weight"] = (c, 1, 3, 3)
            shapes[f"encoder.pre_encode.conv.{depthwise}.bias"] = (c,)
            shapes[f"encoder.pre_encode.conv.{pointwise}.weight"] = (c, c, 1, 1)
            shapes[f"encoder.pre_encode.conv.{pointwise}.bias"] = (c,)
        for layer in range(self.prediction_layers):
            lstm = "decoder.prediction.dec_rnn.lstm"
            shapes |= {f"{lstm}.weight_{side}_l{layer}": (4 * p, p) for side in ("ih", "hh")}
            shapes |= {f"{lstm}.bias_{side}_l{layer}": (4 * p,) for side in ("ih", "hh")}
        for layer in range(self.layers):
            shapes |= {f"encoder.layers.{layer}.{name}": shape for name, shape in self._layer_shapes().items()}
        return shapes

    def _layer_shapes(self) -> dict[str, tuple[int, ...]]:
        d, f = self.width, self.feed_forward
        shapes: dict[str, tuple[int, ...]] = {
            "self_attn.pos_bias_u": (self.heads, self.head_width),
            "self_attn.pos_bias_v": (self.heads, self.head_width),
            "conv.pointwise_conv1.weight": (2 * d, d, 1),
            "conv.depthwise_conv.weight": (d, 1, self.conv_kernel),
            "conv.pointwise_conv2.weight": (d, d, 1),
        }
        shapes |= {f"self_attn.linear_{name}.weight": (d, d) for name in ("q", "k", "v", "out", "pos")}
        for module in ("feed_forward1", "feed_forward2"):
            shapes |= {f"{module}.linear1.weight": (f, d), f"{module}.linear2.weight": (d, f)}
        if self.attention_bias:
            shapes |= {f"self_attn.linear_{name}.bias": (d,) for name in ("q", "k", "v", "out")}
            for module in ("feed_forward1", "feed_forward2"):
                shapes |= {f"{module}.linear1.bias": (f,), f"{module}.linear2.bias": (d,)}
        if self.convolution_bias:
            shapes |= {
                "conv.pointwise_conv1.bias": (2 * d,),
                "conv.depthwise_conv.bias": (d,),
                "conv.pointwise_conv2.bias": (d,),
            }
        norms = ("norm_feed_forward1", "norm_self_att", "norm_conv", "norm_feed_forward2", "norm_out")
        for norm in (*norms, "conv.batch_norm"):
            shapes |= {f"{norm}.weight": (d,), f"{norm}.bias": (d,)}
        return shapes


def measure(
    shapes: dict[str, tuple[int, ...]],
    *,
    left_context: int,
    right_contexts: tuple[int, ...],
    max_symbols: int,
    mel: MelConfig,
    scaled_input: bool,
) -> Architecture:
    """Derive the sizes from the shapes of the weights. Unlike a configuration, the shapes cannot contradict the model.

    Args:
        shapes: name (as NeMo names it) -> shape.
        left_context, right_contexts, max_symbols, mel: attributes of `Architecture` that no shape determines.
        scaled_input: whether the subsampled frames are multiplied by the square root of the width.

    Raises:
        KeyError: a weight that every model of this architecture has is missing.
        ValueError: the index of a conformer layer is not a number.
    """
    width = shapes["encoder.pre_encode.out.weight"][0]
    lstm = "decoder.prediction.dec_rnn.lstm.weight_ih_l"
    return Architecture(
        layers=1 + max((int(name.split(".")[2]) for name in shapes if name.startswith("encoder.layers.")), default=-1),
        width=width,
        heads=shapes["encoder.layers.0.self_attn.pos_bias_u"][0],
        feed_forward=shapes["encoder.layers.0.feed_forward1.linear1.weight"][0],
        conv_kernel=shapes["encoder.layers.0.conv.depthwise_conv.weight"][2],
        subsampling_channels=shapes["encoder.pre_encode.conv.0.weight"][0],
        left_context=left_context,
        right_contexts=right_contexts,
        prompts=shapes["prompt_kernel.0.weight"][1] - width,
        prompt_hidden=shapes["prompt_kernel.0.weight"][0],
        prediction_hidden=shapes["decoder.prediction.embed.weight"][1],
        prediction_layers=sum(name.startswith(lstm) for name in shapes),
        joint_hidden=shapes["joint.enc.weight"][0],
        vocabulary=shapes["decoder.prediction.embed.weight"][0] - 1,
        max_symbols=max_symbols,
        mel=mel,
        input_scale=float(width**0.5) if scaled_input else 1.0,
        attention_bias="encoder.layers.0.self_attn.linear_q.bias" in shapes,
        convolution_bias="encoder.layers.0.conv.depthwise_conv.bias" in shapes,
    )
