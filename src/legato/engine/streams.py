"""A stream of the engine as its callers hold it: one class for threads, one for coroutines."""

import asyncio
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from legato.engine.mailbox import Mailbox
from legato.engine.registry import Registry
from legato.errors import BusyError, EngineError
from legato.options import StreamOptions
from legato.streaming.controls import Commit, Control, Controlled
from legato.streaming.intake import Intake
from legato.streaming.pipeline import Pipeline
from legato.types import Event, Samples


class _Common(Controlled[None]):
    """What both kinds share; nothing here waits."""

    def __init__(self, registry: Registry, mailbox: Mailbox, pipeline: Pipeline, options: StreamOptions) -> None:
        self._registry = registry
        self._mailbox = mailbox
        self._pipeline = pipeline
        self._options = options
        self._intake = Intake(options.sample_rate, self._sample_rate)
        self._held = np.zeros(0, np.float32)  # resampled audio that there was no room for
        mailbox.holder = weakref.ref(self)
        weakref.finalize(self, _warn_of_drop, mailbox).atexit = False

    @property
    def _lock(self) -> threading.Lock:
        """The engine's lock; raises EngineError in a forked child, where it may be held for ever."""
        self._registry.require_same_process()
        return self._registry.lock

    def poll(self) -> list[Event]:
        """Take the events that are waiting; never waits for more.

        Raises:
            EngineError: the stream failed or was closed.
        """
        with self._lock:
            return self._mailbox.take()

    def end(self) -> None:
        """Declare that no more audio will come; the `Final` is the last event.

        Raises:
            EngineError: the stream failed or was closed.
        """
        with self._lock:
            self._mailbox.raise_error()
            if not self._mailbox.ended:
                self._flush()
            self._mailbox.ended = True
            self._registry.notify(self._mailbox)

    def apply(self, control: Control) -> None:
        """Apply a control after all audio that was sent; does not wait. What it causes comes among the events.

        Raises:
            LanguageError, PhraseError: what the model cannot do; nothing changes.
            LegatoError: what the stream cannot take up; nothing changes.
            EngineError: the stream is finished, failed or was closed.
        """
        checked = self._pipeline.checked(self._options, control)
        with self._lock:
            if isinstance(control, Commit) and not control.wait:
                self._flush()
            self._mailbox.put(checked)
            self._registry.notify(self._mailbox)

    def close(self) -> None:
        """Stop the stream unless it is done: its place is free at once, and queued audio is dropped."""
        if not self._registry.is_here:
            return
        with self._lock:
            self._registry.stop(self._mailbox, EngineError("The stream was closed."))

    @property
    def queued_seconds(self) -> float:
        """Seconds of audio that were accepted and are not recognized yet."""
        with self._lock:
            return (self._mailbox.accepted - self._mailbox.done) / self._sample_rate

    @property
    def recognized_seconds(self) -> float:
        """Seconds of audio that are recognized."""
        with self._lock:
            return self._mailbox.done / self._sample_rate

    @property
    def _sample_rate(self) -> int:
        return self._pipeline.bundle.mel.sample_rate

    def _offer(self, samples: Samples) -> Samples:
        """Queue the samples that there is room for, and return the rest; the caller holds the lock."""
        taken = self._mailbox.offer(samples)
        if taken and self._mailbox.is_due:
            self._registry.notify(self._mailbox)
        return samples[taken:]

    def _flush(self) -> None:
        """Queue what the resampler holds, beyond the limit if need be; the caller holds the lock."""
        if self._intake.resamples:
            self._mailbox.offer(np.concatenate([self._held, self._intake.flush()]), force=True)
            self._held = self._held[:0]

    def _busy(self, count: int, samples: Samples, rest: Samples) -> BusyError:
        """Return the error of a piece of `count` samples, of which `rest` was not queued.

        A piece that was resampled cannot be divided: it counts as accepted, and its rest goes before the next piece.
        """
        if self._intake.resamples:
            self._held = rest
            accepted = count
        else:
            accepted = len(samples) - len(rest)
        seconds = self._mailbox.limit / self._sample_rate
        return BusyError(
            f"The stream has {seconds:g} s of audio waiting, the most that the engine queues: audio arrives faster "
            "than it can be recognized. Send it again later, or more slowly.",
            accepted=accepted,
        )


class EngineStream(_Common):
    """A live stream of an engine, for threads; `Engine.stream` makes it.

    One thread may send audio while another takes events. Events that nobody takes are kept, each with the whole text so
    far. Leaving the `with` block closes the stream.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accept(self, samples: NDArray[np.generic], *, timeout: float | None = None) -> None:
        """Accept the next samples; waits while the stream has as much audio queued as it may.

        Args:
            samples: mono audio at the stream's sample rate, float32[n] in [-1, 1] or int16[n]; n may be 0.
            timeout: longest wait in seconds; 0 does not wait, None waits without limit.

        Raises:
            AudioError: NaN or infinite samples, or a wrong shape; the stream is unchanged and can continue.
            BusyError: no room in time; its `accepted` says how many samples were taken.
            EngineError: the stream failed or was closed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if len(self._held):
            self._queue(0, self._held, deadline)
            self._held = self._held[:0]
        self._queue(len(samples), self._intake.read(samples), deadline)

    def __iter__(self) -> Iterator[Event]:
        """Yield the events as they come, up to the `Final`; waits for each.

        Raises:
            EngineError: the stream failed or was closed.
        """
        while (event := self._next()) is not None:
            yield event

    def finish(self) -> list[Event]:
        """End the stream and wait: return the events that were not taken yet, the `Final` last.

        Raises:
            EngineError: the stream failed or was closed.
        """
        self.end()
        return list(self)

    def _queue(self, count: int, samples: Samples, deadline: float | None) -> None:
        """Queue the samples of a piece of `count`; wait for room until `deadline`."""
        rest = samples
        while True:
            with self._lock:
                rest = self._offer(rest)
                if not len(rest):
                    return
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise self._busy(count, samples, rest)
                ticket = self._mailbox.changed.ticket()
            ticket.wait(left)

    def _next(self) -> Event | None:
        while True:
            with self._lock:
                event = self._mailbox.take_one()
                if event is not None or self._mailbox.closed:
                    return event
                ticket = self._mailbox.changed.ticket()
            ticket.wait()


class AsyncEngineStream(_Common):
    """A live stream of an engine, for coroutines of one event loop; `Engine.open_async` makes it.

    One coroutine may send audio while another takes events. Events that nobody takes are kept, each with the whole text
    so far. Leaving the `async with` block closes the stream.
    """

    def __init__(self, registry: Registry, mailbox: Mailbox, pipeline: Pipeline, options: StreamOptions) -> None:
        super().__init__(registry, mailbox, pipeline, options)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        with registry.lock:
            mailbox.listener = _waking(self._loop, self._changed, mailbox)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def accept(self, samples: NDArray[np.generic], *, timeout: float | None = None) -> None:
        """Accept the next samples; arguments and errors as for `EngineStream.accept`."""
        deadline = None if timeout is None else self._loop.time() + timeout
        if len(self._held):
            await self._queue(0, self._held, deadline)
            self._held = self._held[:0]
        await self._queue(len(samples), self._intake.read(samples), deadline)

    async def _queue(self, count: int, samples: Samples, deadline: float | None) -> None:
        """Queue the samples of a piece of `count`; wait for room until `deadline`."""
        rest = samples
        while True:
            # Cleared before the check, so that a change after the check is not missed.
            self._changed.clear()
            with self._lock:
                rest = self._offer(rest)
            if not len(rest):
                return
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                raise self._busy(count, samples, rest) from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event; the iteration ends after the `Final`."""
        while True:
            self._changed.clear()
            with self._lock:
                event, closed = self._mailbox.take_one(), self._mailbox.closed
            if event is not None:
                return event
            if closed:
                raise StopAsyncIteration
            await self._changed.wait()

    async def finish(self) -> list[Event]:
        """End the stream and wait, as `EngineStream.finish` does."""
        self.end()
        return [event async for event in self]


def _warn_of_drop(mailbox: Mailbox) -> None:
    """Warn of a stream that nobody holds any more; the engine frees its place when somebody needs one."""
    if not mailbox.closed:
        message = "A stream of an engine was not closed: use `with`, or call `finish` or `close`."
        warnings.warn(message, ResourceWarning, stacklevel=2)


def _waking(loop: asyncio.AbstractEventLoop, changed: asyncio.Event, mailbox: Mailbox) -> Callable[[], None]:
    """Return what wakes the coroutines of a stream, called by a thread that holds the lock.

    It does not hold the stream: a stream that its caller drops must be collected.
    """

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(changed.set)
        except RuntimeError:  # the loop is closed, so nobody waits for the stream
            mailbox.listener = None
            mailbox.stop(EngineError("The stream's event loop is closed."))

    return wake
