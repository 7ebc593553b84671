"""Where in the model a linear layer stands, and what its inputs look like."""

import re
from dataclasses import dataclass

#: Pattern of a weight's name -> (group, what makes the input).
_PLACES = (
    (r"\.pre_encode\.", ("subsampling", "relu")),
    (r"\.feed_forward\d\.linear1\.", ("feed_forward", "norm")),
    (r"\.feed_forward\d\.linear2\.", ("feed_forward", "silu")),
    (r"\.self_attn\.linear_out\.", ("attention", "context")),
    (r"\.self_attn\.", ("attention", "norm")),
    (r"\.conv\.pointwise_conv1\.", ("convolution", "norm")),
    (r"\.conv\.pointwise_conv2\.", ("convolution", "silu")),
    (r"^prompt_kernel\.0\.", ("prompt", "encoder")),
    (r"^prompt_kernel\.", ("prompt", "relu")),
    (r"^decoder\.", ("prediction", "lstm")),
    (r"^joint\.enc\.", ("joint", "encoder")),
    (r"^joint\.pred\.", ("joint", "lstm")),
    (r"^joint\.", ("joint", "relu")),
)

_LAYER = re.compile(r"^encoder\.layers\.(\d+)\.")

GROUPS = ("subsampling", "attention", "feed_forward", "convolution", "prompt", "prediction", "joint")


@dataclass(frozen=True)
class Place:
    """The place of one linear layer.

    Attributes:
        group: one of `GROUPS`.
        source: what makes its input: a LayerNorm that feeds nothing else (`norm`), the attention's `context`, the
            `encoder`'s frames, the `lstm`, or an activation function (`silu`, `relu`).
        layer: number of the conformer layer, None outside of them.
    """

    group: str
    source: str
    layer: int | None = None


def place_of(weight: str) -> Place:
    """Place of the linear layer with this weight, named as NeMo names it."""
    for pattern, (group, source) in _PLACES:
        if re.search(pattern, weight):
            layer = _LAYER.match(weight)
            return Place(group, source, int(layer[1]) if layer else None)
    raise ValueError(f"no known linear layer has the weight {weight}")
