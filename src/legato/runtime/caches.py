"""A stream's caches in the encoder graph, and how those of several streams become one batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.generic], ...]


@dataclass(frozen=True)
class Caches:
    """One row of the arrays that a call of the graph returned for all its rows.

    Neighbours of one call share their arrays: when the same streams go on together, nothing is copied. So a row keeps
    the memory of its neighbours alive, until `alone` or the next call parts them. Copying and pickling take one row.

    Attributes:
        arrays: [frames, rows, ...] each.
        row: the row that is this stream's.
    """

    arrays: Arrays
    row: int = 0

    @classmethod
    def of(cls, values: Sequence[NDArray[np.generic]]) -> "Caches":
        """Caches of one stream from arrays without a batch axis, [frames, ...] each."""
        return cls(tuple(value[:, None] for value in values))

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        """The stream's own values, without the batch axis."""
        return (array[:, self.row] for array in self.arrays)

    def alone(self) -> "Caches":
        """The same values, in memory that is shared with no other stream."""
        if all(array.shape[1] == 1 for array in self.arrays):
            return self
        return Caches(tuple(array[:, self.row : self.row + 1].copy() for array in self.arrays))

    def __reduce__(self) -> tuple[type["Caches"], tuple[Arrays]]:
        return Caches, (tuple(array[:, self.row : self.row + 1] for array in self.arrays),)


def batch_of(rows: Sequence[Caches]) -> Arrays:
    """Join several streams: one call's rows in their order are joined already, and not copied."""
    arrays = rows[0].arrays
    if len(rows) == arrays[0].shape[1] and all(c.arrays is arrays and c.row == row for row, c in enumerate(rows)):
        return arrays
    return tuple(np.stack([c.arrays[number][:, c.row] for c in rows], axis=1) for number in range(len(arrays)))
