"""Waiting for a change, so that an interrupt cannot tear a lock.

`threading.Condition` releases its lock and takes it again in Python code. A KeyboardInterrupt between the two leaves
the lock free although the `with` block around them goes on, and the end of that block releases it under another
thread. Here the waiting thread holds no lock, and waits in one call of C code.
"""

from contextlib import suppress
from queue import Empty, SimpleQueue


class Ticket:
    """The right of one thread to be woken once, by the next change."""

    def __init__(self) -> None:
        self._news: SimpleQueue[None] = SimpleQueue()

    def wake(self) -> None:
        """Wake the thread that waits, or that is about to wait."""
        self._news.put(None)

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the change for at most so many seconds, without holding a lock; None waits without limit."""
        with suppress(Empty):
            self._news.get(timeout=seconds)


class Waiters:
    """The threads that wait for a change. Every method needs the lock that guards what changes."""

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []

    def ticket(self) -> Ticket:
        """Return a ticket for the next change; wait for it after the lock is released."""
        ticket = Ticket()
        self._tickets.append(ticket)
        return ticket

    def notify_all(self) -> None:
        """Wake all who have a ticket."""
        while self._tickets:
            self._tickets[-1].wake()  # before it is removed: an interrupt between may wake it twice, but not never
            self._tickets.pop()
