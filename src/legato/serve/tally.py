"""Numbers that all processes of a server share: what is open in each, and how it fares.

Every process has a row in one block of mapped memory and writes only there; all read all rows. So a limit holds for the
whole server, and the row of a process that has ended can be cleared.
"""

import asyncio
import contextlib
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

if sys.platform != "win32":  # there, a server is one process
    import fcntl

_FIELDS = (
    "streams", "files", "running_files", "capacity", "connections", "taken",
    "lag", "queue", "computing", "audio", "beat",
)  # fmt: skip

#: How often `take_soon` tries, and seconds between. Tries are counted instead of time, for the sake of busy machines.
_TRIES, _TRY_SECONDS = 20, 0.05


class Tally:
    """The numbers of the processes of a server.

    Fields: open live `streams`; `files` that are admitted, `running_files` of them that are recognized; the live
    streams that the machine was measured to hold (`capacity`); open `connections` and those `taken` from the parent;
    the longest `lag` and the whole `queue` of live streams in seconds; seconds of `computing` for seconds of `audio`
    in the last minute; the time of the last `beat`.

    Args:
        file: the file of the block, which exists and has `size` bytes; None for a server of one process.
    """

    def __init__(self, file: Path | None = None, processes: int = 1, row: int = 0) -> None:
        self._row = row
        self._file = None if file is None else file.open("r+b")
        memory = mmap.mmap(-1 if self._file is None else self._file.fileno(), self.size(processes))
        self._rows = np.frombuffer(memory, np.float64).reshape(processes, len(_FIELDS))

    @staticmethod
    def size(processes: int) -> int:
        """Return the bytes of the block."""
        return processes * len(_FIELDS) * 8

    def get(self, field: str, row: int | None = None) -> float:
        """Return a number of this process or of another."""
        return float(self._rows[self._row if row is None else row, _FIELDS.index(field)])

    def set(self, field: str, value: float) -> None:
        """Set a number of this process."""
        self._rows[self._row, _FIELDS.index(field)] = value

    def total(self, field: str) -> float:
        """Return the sum over all processes."""
        return float(self._rows[:, _FIELDS.index(field)].sum())

    def highest(self, field: str) -> float:
        """Return the largest number of all processes."""
        return float(self._rows[:, _FIELDS.index(field)].max())

    def take(self, field: str, most: float) -> bool:
        """Add 1 to a number of this process unless the sum of all is `most`; return whether it was added."""
        with self._locked():
            if self.total(field) >= most:
                return False
            self.set(field, self.get(field) + 1)
            return True

    async def take_soon(self, field: str, most: float) -> bool:
        """Like `take`, but wait up to a second: who has just left gives a place back a moment after they have left."""
        for _ in range(_TRIES):
            if self.take(field, most):
                return True
            await asyncio.sleep(_TRY_SECONDS)
        return False

    def give_back(self, field: str) -> None:
        """Subtract what `take` has added."""
        self.set(field, self.get(field) - 1)

    def clear(self, row: int) -> None:
        """Forget the numbers of a process that has ended."""
        self._rows[row] = 0

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude the other processes. The system frees the lock of a process that dies."""
        if sys.platform == "win32" or self._file is None:
            yield
        else:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
