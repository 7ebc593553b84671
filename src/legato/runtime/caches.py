"""The caches of a stream in the encoder graph, and how those of several streams form a batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.generic], ...]


@dataclass(frozen=True)
class Caches:
    """One row of the arrays that a call of the graph returned for all of its rows.

    The rows of one call share its arrays: when the same streams continue together, nothing is copied. A row therefore
    keeps the memory of the other rows alive until `alone` or the next call separates them. Copying and pickling take
    one row.

    Attributes:
        arrays: [frames, rows, ...] each.
        row: index of this stream's row.
    """

    arrays: Arrays
    row: int = 0

    @classmethod
    def of(cls, values: Sequence[NDArray[np.generic]]) -> "Caches":
        """Make the caches of one stream from arrays without a batch axis, [frames, ...] each."""
        return cls(tuple(value[:, None] for value in values))

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        """Yield the stream's own arrays, without the batch axis."""
        return (array[:, self.row] for array in self.arrays)

    def alone(self) -> "Caches":
        """Return the same values in memory that is shared with no other stream."""
        if all(array.shape[1] == 1 for array in self.arrays):
            return self
        return Caches(tuple(array[:, self.row : self.row + 1].copy() for array in self.arrays))

    def __reduce__(self) -> tuple[type["Caches"], tuple[Arrays]]:
        return Caches, (tuple(array[:, self.row : self.row + 1] for array in self.arrays),)


def batch_of(rows: Sequence[Caches]) -> Arrays:
    """Return the arrays of several streams as one batch; all rows of one call in their order are not copied."""
    arrays = rows[0].arrays
    if len(rows) == arrays[0].shape[1] and all(c.arrays is arrays and c.row == row for row, c in enumerate(rows)):
        return arrays
    return tuple(np.stack([c.arrays[number][:, c.row] for c in rows], axis=1) for number in range(len(arrays)))
