"""The live stream of one client: bytes in, events out, within limits."""

import asyncio
import logging
import time
import uuid
from typing import Self

from legato.audio.pcm import AudioFormat
from legato.audio.source import SAMPLE_RATE, Samples
from legato.engine.streams import AsyncEngineStream
from legato.errors import EngineError
from legato.model.bundle import Bundle
from legato.serve.core.arrivals import Arrivals
from legato.serve.core.audio_input import open_input
from legato.serve.core.container import Container
from legato.serve.core.limits import Limits
from legato.serve.core.options import Prepared
from legato.serve.core.pace import Pace
from legato.serve.errors import ApiError
from legato.serve.logs import log_event
from legato.serve.metrics import Metrics
from legato.serve.settings import Settings
from legato.streaming.controls import Commit, Control, SetLanguage
from legato.types import Event, Final, Partial, Segment

logger = logging.getLogger("legato.serve")

#: Seconds of audio that a client in real time may have sent ahead, because of buffers and delays in the network.
_AHEAD_SECONDS = 2.0

#: Controls of a stream per second on the long run, and at once; a commit costs as much as a chunk of audio.
_CONTROLS = (10, 40)


class Session:
    """A live stream with its client; `LiveStreams.open` creates it.

    One coroutine may send audio and controls, while another takes the events by iterating. The events are `Partial` and
    `Segment`, and at last one `Final` without text, because the segments hold all the text. Every `Commit` is answered
    by one `Segment` with the reason `commit`, in order; its text may be empty.

    Attributes:
        id: name of the stream in the logs.
        opened: time of the start, on the monotonic clock.
        language: name of the language prompt that is used, such as `de` or `auto`.
        warnings: what of the client's options was ignored.
        drained: whether the server has ended the stream because it shuts down.
        finished: whether the `Final` was taken.
        failure: the error that ended the conversation with the client, if there was one.
    """

    def __init__(
        self,
        stream: AsyncEngineStream,
        interface: str,
        audio_format: AudioFormat | Container,
        prepared: Prepared,
        bundle: Bundle,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.language = prepared.options.language
        self.warnings = list(prepared.warnings)
        self.drained = self.finished = False
        self.failure: Exception | None = None
        self._stream = stream
        self._bundle = bundle
        self._format = audio_format
        self._input = open_input(audio_format, self._take)
        self._interface = interface
        self._limits = Limits(settings)
        self._log_transcripts = settings.log_transcripts
        self._metrics = metrics
        self._chunk_seconds = prepared.options.chunk_ms / 1000
        self.opened = time.monotonic()
        self._arrivals = Arrivals()
        self._ended = False
        self._sending = asyncio.Lock()
        self._pace = Pace(*_CONTROLS)
        self._ending: asyncio.Task[None] | None = None

    @property
    def accepted_seconds(self) -> float:
        """Seconds of audio that were accepted."""
        return self._arrivals.seconds

    @property
    def queued_seconds(self) -> float:
        """Seconds of audio that wait to be recognized."""
        return self._stream.queued_seconds

    @property
    def lag(self) -> float:
        """Seconds by which the server is late; 0 if the client sends faster than real time."""
        if self.accepted_seconds > time.monotonic() - self.opened + _AHEAD_SECONDS:
            return 0.0
        return max(0.0, self.queued_seconds - self._chunk_seconds)

    async def accept(self, data: bytes) -> None:
        """Accept the next bytes of audio; wait while the queue is full. After the end, audio is dropped.

        Raises:
            StreamTooLongError, TooFastError, EngineError: see `Limits.accept`.
            AudioError: samples that are not finite, after which the session can continue; or bytes of a container that
                are not audio, after which it cannot.
        """
        async with self._sending:
            if not self._ended:
                await self._input.write(data)

    async def apply(self, control: Control) -> None:
        """Apply a control after all audio that was accepted before it. After the end, it is dropped.

        Compile phrases in a thread before, because thousands of them take a while.

        Raises:
            LanguageError, PhraseError, LegatoError: see the controls; nothing has changed.
            StreamTooLongError, TooFastError, AudioError, EngineError: for a `Commit`, as for `accept`.
        """
        async with self._sending:
            await self._pace.keep()
            if self._ended:
                return
            if isinstance(control, Commit) and not control.wait:
                await self._input.flush()
            self._stream.apply(control)
            if isinstance(control, SetLanguage):
                self.language = self._bundle.prompt_name(control.language)

    async def set_audio_format(self, audio_format: AudioFormat | Container) -> None:
        """Expect audio in another format from now on. Errors as for `accept`."""
        async with self._sending:
            if not self._ended and audio_format != self._format:
                await self._input.end()
                self._format = audio_format
                self._input = open_input(audio_format, self._take)

    async def end(self) -> None:
        """End the audio; harmless after the end. The `Final` is the last event. Errors as for `accept`."""
        async with self._sending:
            if self._ended:
                return
            try:
                await self._input.end()
            finally:
                self._ended = True
                self._stream.end()

    def drain(self) -> None:
        """End the audio because the server shuts down."""
        if not self._ended:
            self.drained = True
            self._ending = asyncio.get_running_loop().create_task(self._end_quietly())

    def close(self) -> None:
        """Cancel the stream; harmless after the `Final`."""
        self._ended = True
        if self._ending is not None:
            self._ending.cancel()
        self._input.close()
        self._stream.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event; the iteration ends after the `Final`."""
        event = await self._stream.__anext__()
        if isinstance(event, Partial):
            if (age := self._arrivals.age(event.time)) is not None:
                self._metrics.latency.labels(self._interface).observe(age)
        elif isinstance(event, Final):
            self.finished = True
        elif isinstance(event, Segment) and self._log_transcripts:
            log_event("segment", stream=self.id, text=event.text, start=event.start, end=event.end)
        return event

    async def _take(self, samples: Samples) -> None:
        await self._limits.accept(self._stream, samples, self.accepted_seconds)
        self._arrivals.add(len(samples))
        self._metrics.received.labels(self._interface).inc(len(samples) / SAMPLE_RATE)

    async def _end_quietly(self) -> None:
        try:
            await self.end()
        except (ApiError, EngineError) as error:
            logger.warning("Stream %s could not be ended: %s", self.id, error)
