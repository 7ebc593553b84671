"""The caches of a stream in the encoder graph, and how those of several streams form a batch."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.generic], ...]


class Room:
    """Memory for the caches of a batch and for frames that are added to them.

    The caches are a window of every array that moves on by the frames of each step, so they are copied only when the
    room is used up.

    Attributes:
        arrays: [frames, rows, ...] each, frames beyond those that the caches had.
        frames: frames that can be added.
    """

    def __init__(self, rows: Sequence["Caches"], frames: int) -> None:
        self.arrays = tuple(
            np.empty((len(array) + frames, len(rows), *array.shape[2:]), array.dtype) for array in rows[0].arrays
        )
        for number, row in enumerate(rows):
            for array, cache in zip(self.arrays, row, strict=True):
                array[: len(cache), number] = cache
        self.frames = frames
        self._used = 0
        self._lock = threading.Lock()

    def claim(self, start: int, frames: int) -> bool:
        """Claim the `frames` after the first `start`; False if there is no room, or another step had them before."""
        with self._lock:
            if start != self._used or start + frames > self.frames:
                return False
            self._used += frames
            return True


@dataclass(frozen=True)
class Caches:
    """One row of the arrays that a call of the graph returned for all of its rows.

    The rows of one call share its arrays: when the same streams continue together, nothing is copied. A row therefore
    keeps the memory of the other rows alive until `alone` or the next call separates them. Copying and pickling take
    one row.

    Attributes:
        arrays: [frames, rows, ...] each.
        row: index of this stream's row.
        room: memory that `arrays` is a window of; None if there is none after them.
        start: index of the first frame of that window.
    """

    arrays: Arrays
    row: int = 0
    room: Room | None = None
    start: int = 0

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


@dataclass(frozen=True)
class Extended:
    """The caches of a batch with room for the frames of a step.

    Attributes:
        whole: the caches followed by the room, [frames, rows, ...] each.
        new: the room alone; views of `whole`.
        after: the caches for the step after this one, without the batch: `Caches` of row 0.
    """

    whole: Arrays
    new: Arrays
    after: Caches


def batch_of(rows: Sequence[Caches]) -> Arrays:
    """Return the arrays of several streams as one batch; all rows of one call in their order are not copied."""
    arrays = rows[0].arrays
    if _together(rows):
        return arrays
    return tuple(np.stack([c.arrays[number][:, c.row] for c in rows], axis=1) for number in range(len(arrays)))


def extend(rows: Sequence[Caches], frames: int, spare: int) -> Extended:
    """Return the caches of several streams as one batch with room for `frames` more.

    Args:
        rows: the caches of every stream.
        frames: the frames of the step.
        spare: frames for which room is made at least when the caches have to be copied.
    """
    first = rows[0]
    room, start, lengths = first.room, first.start, [len(array) for array in first.arrays]
    if room is None or not _together(rows) or not room.claim(start, frames):
        room, start = Room(rows, max(frames, spare)), 0
        room.claim(start, frames)
    ends = [start + length for length in lengths]

    whole = tuple(array[start : end + frames] for array, end in zip(room.arrays, ends, strict=True))
    new = tuple(array[-frames:] for array in whole)
    return Extended(whole, new, Caches(tuple(array[frames:] for array in whole), 0, room, start + frames))


def _together(rows: Sequence[Caches]) -> bool:
    """Return whether these are all rows of one call in their order."""
    arrays = rows[0].arrays
    return len(rows) == arrays[0].shape[1] and all(c.arrays is arrays and c.row == row for row, c in enumerate(rows))
