"""A stream of the engine as its callers hold it: one for threads, one for coroutines."""

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from legato.audio.source import check_samples
from legato.decode.phrases import Phrases
from legato.engine.slot import Lane, Mark
from legato.errors import BusyError, EngineError
from legato.runtime.features import Samples
from legato.streaming.endpointing import Endpointing
from legato.streaming.stream import StreamState, check_endpoint, check_phrases, commit, set_language, set_phrases
from legato.types import Event

if TYPE_CHECKING:
    from legato.engine.engine import Engine
    from legato.recognizer import Recognizer


class _Common:
    """What both kinds share: nothing here waits."""

    def __init__(self, engine: "Engine", lane: Lane) -> None:
        self._engine = engine
        self._lane = lane

    def poll(self) -> list[Event]:
        """Take the events that are there; never waits.

        Raises:
            EngineError: the stream failed or was closed.
        """
        with self._engine.lock:
            return self._lane.take()

    def end(self) -> None:
        """Say that no more audio will come; the `Final` is the last event."""
        with self._engine.lock:
            self._lane.raise_error()
            self._lane.ended = True
            self._engine.tell(self._lane)

    def commit(self) -> None:
        """End the segment behind the audio that was sent, as `Stream.commit` does; does not wait.

        The answer comes among the events: always one `Segment` with the reason `commit`.

        Raises:
            EngineError: the stream is finished, failed or was closed.
        """
        self._put(commit)

    def set_language(self, language: str) -> None:
        """Go on in another language, or `auto`, behind the audio that was sent; see `Stream.set_language`.

        Raises:
            LanguageError: the model has no such prompt; nothing changes.
            EngineError: the stream is finished, failed or was closed.
        """
        self._engine.recognizer.bundle.prompt_slot(language)

        def switch(recognizer: "Recognizer", state: StreamState) -> list[Event]:
            set_language(recognizer, state, language)
            return []

        self._put(switch)

    def set_endpoint(self, rules: Endpointing | None) -> None:
        """Go on with other rules for the end of segments behind the audio that was sent; see `Stream.set_endpoint`.

        Raises:
            LegatoError: the stream cannot take them up; nothing changes.
            EngineError: the stream is finished, failed or was closed.
        """
        check_endpoint(self._lane.state, rules)

        def switch(_recognizer: "Recognizer", state: StreamState) -> list[Event]:
            state.rules = rules
            return []

        self._put(switch)

    def set_phrases(self, phrases: Phrases) -> None:
        """Go on with other phrases, or none, behind the audio that was sent; see `Stream.set_phrases`.

        Raises:
            PhraseError: the model cannot spell one, or it is empty, or its weight is out of range; nothing changes.
            LegatoError: the stream has a beam; nothing changes.
            EngineError: the stream is finished, failed or was closed.
        """
        check_phrases(self._lane.state)
        compiled = self._engine.recognizer.compile_phrases(phrases)

        def switch(_recognizer: "Recognizer", state: StreamState) -> list[Event]:
            set_phrases(state, compiled)
            return []

        self._put(switch)

    def _put(self, mark: Mark) -> None:
        with self._engine.lock:
            self._lane.put(mark)
            self._engine.tell(self._lane)

    def close(self) -> None:
        """Give the stream up, unless it is done: its place is free at once, and queued audio is dropped."""
        with self._engine.lock:
            if not self._lane.closed:
                self._lane.stop(EngineError("The stream was closed."))
                self._engine.tell(self._lane)

    @property
    def queued_seconds(self) -> float:
        """Seconds of audio that came and are not recognised yet."""
        with self._engine.lock:
            return (self._lane.accepted - self._lane.done) / self._engine.recognizer.sample_rate

    @property
    def recognized_seconds(self) -> float:
        """Seconds of audio that are recognised."""
        with self._engine.lock:
            return self._lane.done / self._engine.recognizer.sample_rate

    def _offer(self, samples: Samples) -> Samples:
        """Queue what there is room for, and return the rest; the caller holds the lock."""
        taken = self._lane.offer(samples)
        if taken and self._lane.is_due:
            self._engine.tell(self._lane)
        return samples[taken:]

    def _busy(self, samples: Samples, rest: Samples) -> BusyError:
        seconds = self._lane.limit / self._engine.recognizer.sample_rate
        return BusyError(
            f"The stream has {seconds:g} s of audio waiting, all that the engine queues: it comes faster than it "
            "can be recognised. Send it again later, or more slowly.",
            accepted=len(samples) - len(rest),
        )


class EngineStream(_Common):
    """A live stream of an engine, for threads: `Engine.stream` makes it.

    One thread may send audio while another takes events. Events that nobody takes are kept, each with the whole text so
    far. Leaving the `with` block closes the stream.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accept(self, samples: NDArray[np.generic], *, timeout: float | None = None) -> None:
        """Hear the next samples; waits while the stream has as much audio queued as it may.

        Args:
            samples: mono audio at the model's sample rate, float32[n] in [-1, 1] or int16[n]; n may be 0.
            timeout: seconds to wait at most; 0 does not wait, None waits as long as it takes.

        Raises:
            AudioError: NaN or infinite samples, or a wrong shape; the stream is as it was before and can go on.
            BusyError: no room in time; its `accepted` says how many samples were taken.
            EngineError: the stream failed or was closed.
        """
        given = rest = check_samples(samples, allow_empty=True)
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._engine.lock:
            while len(rest := self._offer(rest)):
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise self._busy(given, rest)
                self._lane.changed.wait(left)

    def __iter__(self) -> Iterator[Event]:
        """Yield the events as they come, to the `Final`; waits for each.

        Raises:
            EngineError: the stream failed or was closed.
        """
        while (event := self._next()) is not None:
            yield event

    def finish(self) -> list[Event]:
        """End the stream and wait: the events that were not taken yet, the `Final` last.

        Raises:
            EngineError: the stream failed or was closed.
        """
        self.end()
        return list(self)

    def _next(self) -> Event | None:
        with self._engine.lock:
            while (event := self._lane.take_one()) is None and not self._lane.closed:
                self._lane.changed.wait()
            return event


class AsyncEngineStream(_Common):
    """A live stream of an engine, for coroutines of one event loop: `Engine.open_async` makes it.

    One coroutine may send audio while another takes events. Events that nobody takes are kept, each with the whole text
    so far. Leaving the `async with` block closes the stream.
    """

    def __init__(self, engine: "Engine", lane: Lane) -> None:
        super().__init__(engine, lane)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        with engine.lock:
            lane.listener = self._tell

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def accept(self, samples: NDArray[np.generic], *, timeout: float | None = None) -> None:
        """Hear the next samples; arguments and errors as for `EngineStream.accept`."""
        given = rest = check_samples(samples, allow_empty=True)
        deadline = None if timeout is None else self._loop.time() + timeout
        while True:
            # Cleared before looking, so that what happens after the look is not missed.
            self._changed.clear()
            with self._engine.lock:
                rest = self._offer(rest)
            if not len(rest):
                return
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                raise self._busy(given, rest) from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event; ends after the `Final`."""
        while True:
            self._changed.clear()
            with self._engine.lock:
                event, closed = self._lane.take_one(), self._lane.closed
            if event is not None:
                return event
            if closed:
                raise StopAsyncIteration
            await self._changed.wait()

    async def finish(self) -> list[Event]:
        """End the stream and wait, as `EngineStream.finish`."""
        self.end()
        return [event async for event in self]

    def _tell(self) -> None:
        """Wake the coroutines; called by the engine's thread, which holds the lock."""
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:  # the loop is gone, and the stream's users with it
            self._lane.listener = None
            self._lane.stop(EngineError("The stream's event loop is closed."))
