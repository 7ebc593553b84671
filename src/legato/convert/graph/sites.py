"""The linear layers of the model: the position of each, what computes its input, and how its weight is read."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

import numpy as np
from numpy.typing import NDArray

#: Reads a weight as float32[inputs, outputs], the layout in which ONNX multiplies.
ReadMatrix = Callable[[], NDArray[np.float32]]


class Group(StrEnum):
    """The part of the model that a linear layer belongs to."""

    SUBSAMPLING = "subsampling"
    ATTENTION = "attention"
    FEED_FORWARD = "feed_forward"
    CONVOLUTION = "convolution"
    PROMPT = "prompt"
    PREDICTION = "prediction"
    JOINT = "joint"


class Source(Enum):
    """What computes the input of a linear layer. It determines the range of the input's values.

    Attributes:
        NORM: a LayerNorm that feeds this layer only, so that factors can be folded into its scale and bias.
        SILU: a SiLU; values from -0.2785 upwards.
        RELU: a ReLU; no negative values.
        OTHER: anything else, with values of both signs: the attention's context, encoder frames, an LSTM's state.
    """

    NORM = auto()
    SILU = auto()
    RELU = auto()
    OTHER = auto()


@dataclass(frozen=True)
class Site:
    """The position of one linear layer in the model.

    Attributes:
        group: the part of the model.
        source: what computes the layer's input.
        layer: index of the conformer layer, from 0; None outside the conformer layers.
    """

    group: Group
    source: Source
    layer: int | None = None


@dataclass(frozen=True)
class Linear:
    """One linear layer without its bias.

    Attributes:
        name: name of its weight in the checkpoint, from which the names of its tensors in the graph are made.
        site: its position.
        inputs: number of input channels.
        outputs: number of output channels.
        read: reads the weight as float32[inputs, outputs].
    """

    name: str
    site: Site
    inputs: int
    outputs: int
    read: ReadMatrix
