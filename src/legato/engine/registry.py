"""The open streams of an engine and their news: how callers' threads and the worker meet."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable

from legato.engine.mailbox import Mailbox
from legato.engine.slot import Slot
from legato.engine.waiters import Waiters
from legato.errors import BusyError, EngineError


class Registry:
    """The streams of an engine, guarded by one lock that is held only briefly, never during a step.

    Args:
        max_streams: streams that may be open at a time.
    """

    def __init__(self, max_streams: int) -> None:
        self.lock = threading.Lock()
        self.max_streams = max_streams
        self._process = os.getpid()
        self._arrived = Waiters()
        self._slots: dict[Mailbox, Slot] = {}
        self._news: dict[Mailbox, None] = {}
        self._closing = False

    @property
    def is_here(self) -> bool:
        """Whether this is the process that created the engine."""
        return os.getpid() == self._process

    def require_same_process(self) -> None:
        """Raise EngineError in a forked child: the engine's thread exists only in the process that created it."""
        if not self.is_here:
            raise EngineError(
                "This engine belongs to another process: its thread does not survive a fork. Create an engine in this "
                "process."
            )

    @property
    def closing(self) -> bool:
        """Whether the engine is being closed."""
        return self._closing

    @property
    def open_streams(self) -> int:
        """Number of streams that are open now."""
        with self.lock:
            self._close_dropped()
            return sum(not mailbox.closed for mailbox in self._slots)

    def admit(self, slot: Slot) -> None:
        """Add a stream.

        Raises:
            BusyError: `max_streams` are open.
            EngineError: the engine is closed, or belongs to another process.
        """
        slot.mailbox.closed = True  # until it has a place
        self.require_same_process()
        with self.lock:
            if self._closing:
                raise EngineError("The engine is closed.")
            self._close_dropped()
            self._slots = {mailbox: known for mailbox, known in self._slots.items() if not mailbox.closed}
            if len(self._slots) >= self.max_streams:
                raise BusyError(f"The engine has {self.max_streams} streams open already, the most that it admits.")
            self._slots[slot.mailbox] = slot
            slot.mailbox.closed = False

    def _close_dropped(self) -> None:
        """Free the places of the streams that nobody holds; the caller holds `lock`."""
        for mailbox in self._slots:
            if not mailbox.closed and mailbox.holder() is None:
                self.stop(mailbox, EngineError("The stream was dropped."))

    def stop(self, mailbox: Mailbox, error: EngineError) -> None:
        """End a stream, unless it is done; the caller holds `lock`. After an interrupt it can be called again."""
        if not mailbox.closed:
            self.notify(mailbox)
            mailbox.stop(error)

    def notify(self, mailbox: Mailbox) -> None:
        """Tell the worker that a mailbox has audio or a control, or was ended or closed; the caller holds `lock`."""
        self._news[mailbox] = None
        self._arrived.notify_all()

    def close(self, *, cancel: bool) -> None:
        """End all streams where they are, or fail them, and admit no more."""
        with self.lock:
            self._closing = True
            for mailbox in self._slots:
                if cancel:
                    mailbox.stop(EngineError("The engine was closed."))
                mailbox.ended = True
                self._news[mailbox] = None
            self._arrived.notify_all()

    # For the worker

    def wait(self, due_in: Callable[[], float | None]) -> list[Slot] | None:
        """Wait for work.

        Args:
            due_in: returns the seconds until the next batch should be computed, or None if no chunk is ready.

        Returns:
            The streams with news; none if a batch is due; None if the engine is closed and all streams are done.
        """
        while True:
            with self.lock:
                seconds = None if self._news else due_in()
                if self._news or seconds == 0:
                    arrived = [self._slots[mailbox] for mailbox in self._news if mailbox in self._slots]
                    self._news.clear()
                    return arrived
                if self._closing and all(mailbox.closed for mailbox in self._slots):
                    return None
                ticket = self._arrived.ticket()
            ticket.wait(seconds)

    def requeue(self, slots: Iterable[Slot]) -> None:
        """Put streams after all that have news now."""
        with self.lock:
            for slot in slots:
                self._news.pop(slot.mailbox, None)
                self._news[slot.mailbox] = None

    def open_by_chunk(self) -> Counter[int]:
        """Return the number of open streams by chunk size in frames."""
        return Counter(slot.chunk for mailbox, slot in list(self._slots.items()) if not mailbox.closed)

    def abandon(self) -> None:
        """Fail the streams that are still open when the worker ends; in good order there are none."""
        with self.lock:
            self._closing = True
            for mailbox in self._slots:
                if not mailbox.closed:
                    mailbox.stop(EngineError("The engine failed; its log says why."))
