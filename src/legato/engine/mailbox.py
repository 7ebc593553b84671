"""What callers and the worker share of one stream: audio and controls go in, events come out."""

from collections import deque
from collections.abc import Callable

import numpy as np

from legato.engine.waiters import Waiters
from legato.errors import EngineError
from legato.streaming.controls import Commit, Control
from legato.types import Event, Final, Samples


class Mailbox:
    """The shared part of a stream. Every method and attribute needs the engine's lock.

    Attributes:
        changed: who waits for room, an event or an error.
        listener: is called at the same times, from the thread that caused the change.
        limit: samples that may wait.
        accepted, done: samples that were accepted, and samples that are recognized.
        wanted: samples that must have been accepted before the next chunk can be ready.
        ended: no more audio will come.
        error: why the stream cannot continue.
        closed: the stream occupies no place: it was refused, its `Final` is delivered, it failed, or its caller closed
            it.
        holder: returns who holds the stream, or None when it was dropped.
    """

    def __init__(self, limit: int, wanted: int) -> None:
        self.changed = Waiters()
        self.holder: Callable[[], object] = object
        self.listener: Callable[[], None] | None = None
        self.limit = limit
        self.accepted = self.done = 0
        self.wanted = wanted
        self.ended = self.closed = False
        self.error: EngineError | None = None
        self._queue: deque[Samples | Control] = deque()
        self._controls = 0
        self._events: deque[Event] = deque()

    # For the caller

    def offer(self, samples: Samples, *, force: bool = False) -> int:
        """Queue the samples that there is room for, or all of them; return how many were taken from the start."""
        self._require_open()
        room = len(samples) if force else min(len(samples), self.limit - (self.accepted - self.done))
        if room > 0:
            # A copy, because callers fill one buffer again and again.
            self._queue.append(samples[:room].copy())
            self.accepted += room
        return max(room, 0)

    def put(self, control: Control) -> None:
        """Queue a control after all audio that is queued now; a setting replaces the one of its kind just before it."""
        self._require_open()
        if self._queue and type(self._queue[-1]) is type(control) and not isinstance(control, Commit):
            self._queue[-1] = control
            return
        self._queue.append(control)
        self._controls += 1

    def take(self) -> list[Event]:
        """Take all waiting events; raise the stream's error if there are none."""
        events = list(self._events)
        self._events.clear()
        if not events:
            self.raise_error()
        return events

    def take_one(self) -> Event | None:
        """Take the oldest event, if there is one; raise the stream's error if there is none."""
        if self._events:
            return self._events.popleft()
        self.raise_error()
        return None

    def raise_error(self) -> None:
        """Raise the stream's error, if it has one."""
        if self.error is not None:
            raise self.error

    # For the worker

    @property
    def is_due(self) -> bool:
        """Whether the worker should process the queue."""
        return self.ended or self.closed or self._controls > 0 or self.accepted >= self.wanted

    def next_control(self) -> Control | None:
        """Take the control at the head of the queue, if no audio comes before it."""
        if not self._queue or isinstance(item := self._queue[0], np.ndarray):
            return None
        self._queue.popleft()
        self._controls -= 1
        return item

    def next_audio(self, count: int) -> tuple[Samples, bool]:
        """Take at most `count` samples that come before the next control; the flag says whether the audio ends."""
        taken: list[Samples] = []
        while self._queue and count and isinstance(item := self._queue[0], np.ndarray):
            self._queue.popleft()
            if len(item) > count:
                self._queue.appendleft(item[count:])
                item = item[:count]
            taken.append(item)
            count -= len(item)
        samples = np.concatenate(taken) if taken else np.zeros(0, np.float32)
        return samples, self.ended and not self._queue

    def deliver(self, events: list[Event], done: int, wanted: int) -> None:
        """Deliver events; record the samples that are recognized and wanted."""
        self._events.extend(events)
        self.done, self.wanted = done, wanted
        if events and isinstance(events[-1], Final):
            self.closed = True
        self.notify()

    def stop(self, error: EngineError | None) -> None:
        """End the stream and drop its queue. Events that were delivered can still be taken."""
        self.ended = True
        self.error = self.error or error
        self._queue.clear()
        self._controls = 0
        self.notify()
        self.closed = True  # last: what was interrupted before is done again

    def notify(self) -> None:
        """Wake those who wait for this stream."""
        self.changed.notify_all()
        if self.listener is not None:
            self.listener()

    def _require_open(self) -> None:
        self.raise_error()
        if self.ended:
            raise EngineError("The stream is finished. Open a new one with engine.stream().")
