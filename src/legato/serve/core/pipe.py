"""A file whose bytes arrive while it is read: the event loop writes, a thread reads."""

import io
import threading
from collections import deque
from collections.abc import Callable


class Pipe(io.RawIOBase):
    """A file for a reader that waits for bytes which another thread writes.

    Args:
        before_waiting: called in the reader's thread before it waits for more bytes.
        changed: called in the reader's thread after it took bytes, and when it begins to wait.

    Attributes:
        size: bytes that have not been read.
        starved: whether the reader waits for more bytes.
    """

    def __init__(self, before_waiting: Callable[[], None], changed: Callable[[], None]) -> None:
        super().__init__()
        self._before_waiting = before_waiting
        self._changed = changed
        self._news = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self.size = 0
        self.starved = False

    def write(self, data: bytes) -> int:  # type: ignore[override]  # only bytes are written
        """Add bytes; after the end they are dropped."""
        with self._news:
            if data and not self._ended:
                self._pieces.append(data)
                self.size += len(data)
                self.starved = False
                self._news.notify()
        return len(data)

    def end(self) -> None:
        """Mark the end of the file."""
        with self._news:
            self._ended = True
            self.starved = False
            self._news.notify()

    def close(self) -> None:
        """Mark the end of the file and drop the bytes that have not been read."""
        with self._news:
            self._pieces.clear()
            self.size = 0
        self.end()

    def readable(self) -> bool:
        """Return True: the file is for reading."""
        return True

    def wait(self) -> bool:
        """Wait for the first bytes; return False if the file ends without any."""
        with self._news:
            self._wait()
            return bool(self._pieces)

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; wait while there are none. Empty at the end of the file."""
        if not self._pieces and not self._ended:
            self._before_waiting()
        with self._news:
            self._wait()
            if not self._pieces:
                return b""
            piece = self._pieces.popleft()
            if 0 <= size < len(piece):
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            self.size -= len(piece)
        self._changed()
        return piece

    def _wait(self) -> None:
        while not self._pieces and not self._ended:
            self.starved = True
            self._changed()
            self._news.wait()
