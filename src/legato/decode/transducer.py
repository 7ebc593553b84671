"""The prediction net and the joint as the searches use them."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from legato.types import Floats


class Transducer(Protocol):
    """Prediction net and joint over B rows.

    Attributes:
        blank: id of blank, the last output of the joint.
    """

    blank: int

    def initial(self, rows: int) -> tuple[Floats, Floats]:
        """Return zero h and c: float32[layers, rows, hidden] each."""
        ...

    def predict(self, tokens: NDArray[np.int64], h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        """Run one step of the prediction net: tokens int64[B] -> output float32[B, hidden], and the new h and c."""
        ...

    def join(self, frames: Floats, predictions: Floats) -> Floats:
        """Return logits float32[B, T, V + 1] of frames float32[B, T, width] and predictions float32[B, hidden]."""
        ...
