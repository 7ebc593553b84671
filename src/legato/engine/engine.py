"""The engine: many live streams, one batched step of the encoder and of the search.

A chunk multiplies a few rows by every weight of the model, and most of the time goes into reading the weights. One step
over a batch of streams reads them once for all. The price is latency: a chunk that becomes ready during a step waits
for its end, and a step over more rows takes longer.

The policy: when the engine is idle, a chunk is computed as soon as it is ready. Chunks that become ready during a step
join the next one, at most `max_batch` streams, those that have waited longest first. Batches are therefore as small as
the load allows, and grow with it. `max_wait_ms` holds a chunk back for others to join, which saves work where chunks
arrive a few milliseconds apart; the engine never waits once every open stream is ready.
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, Unpack

from legato.engine.mailbox import Mailbox
from legato.engine.registry import Registry
from legato.engine.slot import Slot
from legato.engine.streams import AsyncEngineStream, EngineStream
from legato.engine.worker import Step, Worker
from legato.options import StreamKeywords, StreamOptions
from legato.recognizer import Recognizer
from legato.streaming.state import StreamState


class Engine:
    """Recognizes many live streams together. Open streams from any thread or coroutine. Close it, or use `with`.

    A stream's events are the same as without the engine. Streams do not affect each other: an error of one is raised to
    its caller alone.

        with Engine(legato.load()) as engine:
            with engine.stream(language="de") as stream:  # one thread per stream
                for samples in microphone:
                    stream.accept(samples)
                    show(stream.poll())
                show(stream.finish())

            async with engine.open_async() as stream:  # or one coroutine per stream
                await stream.accept(samples)
                stream.end()
                async for event in stream:
                    show([event])

    Args:
        recognizer: the model; others may continue to use it.
        max_streams: streams that may be open at a time.
        max_batch: largest number of streams per step.
        max_wait_ms: milliseconds that a ready chunk may be held back for others to join it.
        max_queued_seconds: seconds of audio that a stream may have waiting, at least two of its chunks; then its caller
            waits in `accept`. Waiting audio takes 64 kB per second, so this limits memory too.
        on_step: called in the engine's thread after every step, for statistics.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        max_streams: int = 64,
        max_batch: int = 16,
        max_wait_ms: float = 0.0,
        max_queued_seconds: float = 30.0,
        on_step: Callable[[Step], None] | None = None,
    ) -> None:
        if max_streams < 1 or max_batch < 1:
            raise ValueError("max_streams and max_batch must be 1 or more")
        if not (0 <= max_wait_ms < float("inf") and 0 < max_queued_seconds < float("inf")):
            raise ValueError("max_wait_ms must be 0 or more, max_queued_seconds more than 0, both finite")
        self.recognizer = recognizer
        self.max_streams = max_streams
        self._queued_seconds = max_queued_seconds
        self._registry = Registry(max_streams)
        self._worker = Worker(
            self._registry, recognizer.pipeline, max_batch=max_batch, max_wait=max_wait_ms / 1000, on_step=on_step
        )
        self._worker.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=error is not None)

    def stream(self, options: StreamOptions | None = None, /, **keywords: Unpack[StreamKeywords]) -> EngineStream:
        """Open a live stream for use from threads.

        Args:
            options: the options; by default those of `StreamOptions`. Streams of one batch may differ in all of them.
            keywords: fields of `StreamOptions`, which replace those of `options`.

        Raises:
            BusyError: `max_streams` are open.
            EngineError: the engine is closed.
            LanguageError, ChunkSizeError, PhraseError, NGramError: what the model cannot do.
        """
        state = self.recognizer.start(options, **keywords)
        mailbox = self._mailbox(state)
        stream = EngineStream(self._registry, mailbox, self.recognizer.pipeline, state.options)
        self._registry.admit(Slot(state, mailbox))  # last: an interrupt before it leaves no place taken
        return stream

    def open_async(
        self, options: StreamOptions | None = None, /, **keywords: Unpack[StreamKeywords]
    ) -> AsyncEngineStream:
        """Open a live stream for use from the running asyncio loop; arguments and errors as for `stream`."""
        state = self.recognizer.start(options, **keywords)
        mailbox = self._mailbox(state)
        stream = AsyncEngineStream(self._registry, mailbox, self.recognizer.pipeline, state.options)
        self._registry.admit(Slot(state, mailbox))
        return stream

    @property
    def open_streams(self) -> int:
        """Number of streams that are open now."""
        return self._registry.open_streams

    def close(self, *, cancel: bool = False) -> None:
        """Close the engine and wait until its thread has ended; has no effect on a closed engine.

        Open streams end where they are: their queued audio is recognized, and their last events can still be taken.

        Args:
            cancel: stop the open streams instead; they raise EngineError.
        """
        if not self._registry.is_here:  # a forked child: the streams are its parent's
            return
        self._registry.close(cancel=cancel)
        if threading.current_thread() is not self._worker:
            self._worker.join()

    def _mailbox(self, state: StreamState) -> Mailbox:
        pipeline, chunk = self.recognizer.pipeline, state.audio.encoder.chunk
        seconds = max(self._queued_seconds, 2 * chunk * pipeline.bundle.frame_seconds)
        limit = round(seconds * self.recognizer.sample_rate)
        return Mailbox(limit, pipeline.samples_for(chunk))
