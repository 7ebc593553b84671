"""The memory that requests hold which are not complete, over all clients of a process."""

from collections.abc import Iterator
from contextlib import contextmanager

from legato.serve.errors import NoRoomError

#: Bytes of bodies, and of messages, that may be incomplete at a time.
MOST_BYTES = 64_000_000
#: A request may hold this much in any case, so that those that hold more cannot shut out the others.
FREE_BYTES = 65_536


class Held:
    """Counts bytes that wait for the rest of their request."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self.bytes = 0

    def change(self, before: int, after: int) -> bool:
        """Note that a request holds other bytes than before; return whether there is room for them."""
        self.bytes += after - before
        return after <= max(before, FREE_BYTES) or self.bytes <= self.most

    @contextmanager
    def body(self) -> Iterator["HeldBody"]:
        """Hold a body until the end of the block."""
        body = HeldBody(self)
        try:
            yield body
        finally:
            self.change(body.size, 0)


class HeldBody:
    """The bytes of one body."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self.size = 0

    def grow(self, count: int) -> None:
        """Count further bytes.

        Raises:
            NoRoomError: the incomplete requests of all clients hold too much.
        """
        before, self.size = self.size, self.size + count
        if not self._held.change(before, self.size):
            raise NoRoomError


#: The bodies and the messages of this process.
BODIES, MESSAGES = Held(), Held()
