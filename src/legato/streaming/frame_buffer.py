"""Values that came with the audio and wait for the encoder frames that they belong to."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Track:
    """A stretch of a series that is as long as the stream.

    Attributes:
        values: float32[n], those that are still needed.
        first: index in the series of the first of them.
    """

    values: Values = field(default_factory=lambda: np.zeros(0, np.float32))
    first: int = 0

    def extended(self, values: Values) -> "Track":
        """Add values at the end."""
        return Track(np.concatenate([self.values, values]), self.first) if len(values) else self

    def between(self, start: int, end: int) -> Values:
        """Values `start` to `end` of the series, as far as they are there."""
        return self.values[max(0, start - self.first) : max(0, end - self.first)]

    def after(self, start: int) -> "Track":
        """The same without the values before `start`."""
        gone = min(max(0, start - self.first), len(self.values))
        return Track(self.values[gone:].copy(), self.first + gone) if gone else self
