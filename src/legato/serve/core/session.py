"""One client's live stream: bytes in, events out, within limits."""

import asyncio
import logging
import time
import uuid
from collections import deque
from typing import Self

from legato.audio.source import SAMPLE_RATE, Samples
from legato.decode.phrases import Phrases
from legato.engine.streams import AsyncEngineStream
from legato.errors import BusyError, EngineError
from legato.options import Endpointing
from legato.serve.core.audio_format import Wire, WireDecoder
from legato.serve.core.container import Container, ContainerReader
from legato.serve.errors import ApiError
from legato.serve.logs import tell
from legato.serve.metrics import Metrics
from legato.serve.settings import Settings
from legato.types import Event, Final, Partial, Segment

logger = logging.getLogger("legato.serve")

#: Audio that a client in real time may have sent ahead: buffers and lost time on the network.
_AHEAD_SECONDS = 2.0


class Session:
    """A live stream with a client at its other end; `LiveStreams.open` makes it.

    One coroutine may send audio (`hear`, `commit`, `set_language`, `end`), while another takes the events by iterating.
    The events are `Partial` and `Segment`, and at last a `Final`, which holds no text: a `Segment` has told the rest.
    Every `commit` is answered by one `Segment` with the reason `commit`, be its text empty, in order.

    Attributes:
        id: names it in the logs.
        language: as it was asked for.
        drained: the server has ended it, because it shuts down.
        finished: its `Final` has come.
    """

    def __init__(
        self,
        stream: AsyncEngineStream,
        wire: Wire | Container,
        interface: str,
        language: str,
        chunk_ms: int,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.language = language
        self.drained = self.finished = False
        self._stream = stream
        self._decoder = WireDecoder(wire if isinstance(wire, Wire) else Wire())
        self._container = ContainerReader(self._accept) if isinstance(wire, Container) else None
        self._interface = interface
        self._settings = settings
        self._metrics = metrics
        self._chunk_seconds = chunk_ms / 1000
        self._opened = time.monotonic()
        self._samples = 0
        self._ended = False
        self._arrivals: deque[tuple[int, float]] = deque()
        self._sending = asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None

    @property
    def heard_seconds(self) -> float:
        """Seconds of audio that came."""
        return self._samples / SAMPLE_RATE

    @property
    def recognized_seconds(self) -> float:
        """Seconds of audio that are recognised."""
        return self._stream.recognized_seconds

    @property
    def lag(self) -> float:
        """Seconds of audio that wait to be recognised."""
        return self._stream.queued_seconds

    @property
    def behind(self) -> float:
        """Seconds that the server is late with it; 0 as long as a client that sends faster than it speaks is served."""
        if self.heard_seconds > time.monotonic() - self._opened + _AHEAD_SECONDS:
            return 0.0
        return max(0.0, self.lag - self._chunk_seconds)

    async def hear(self, data: bytes) -> None:
        """Hear the next bytes of audio; waits while much is queued, so that a client that is too fast is slowed down.

        Once the session is ended, more audio is passed over.

        Raises:
            ApiError: the stream is too long, or there was no room for `idle_seconds`.
            AudioError: samples that are not finite, and the session goes on without them; or bytes of a container that
                are no audio, and no more can follow.
            EngineError: the stream failed.
        """
        async with self._sending:
            if self._ended:
                return
            if self._container is not None:
                await self._container.write(data)
            else:
                await self._accept(self._decoder.decode(data))

    async def commit(self) -> None:
        """End the segment behind the audio that came; its `Segment` is among the events. Errors as for `hear`."""
        async with self._sending:
            if not self._ended:
                if self._container is not None:
                    await self._container.settle()
                else:
                    await self._accept(self._decoder.flush())
                self._stream.commit()

    def set_language(self, language: str) -> None:
        """Go on in another language behind the audio that came.

        Raises:
            LanguageError: the model has no such prompt; nothing changes.
        """
        if not self._ended:
            self._stream.set_language(language)
            self.language = language

    def set_endpoint(self, rules: Endpointing) -> None:
        """Go on with other rules for the end of segments behind the audio that came."""
        if not self._ended:
            self._stream.set_endpoint(rules)

    def set_phrases(self, phrases: Phrases) -> None:
        """Go on with other phrases behind the audio that came; thousands should be compiled before, in a thread.

        Raises:
            PhraseError: the model cannot spell one, or it is empty, or its weight is out of range; nothing changes.
        """
        if not self._ended:
            self._stream.set_phrases(phrases)

    async def set_wire(self, wire: Wire) -> None:
        """Expect audio in another form from now on. Errors as for `hear`."""
        async with self._sending:
            if not self._ended and wire != self._decoder.wire:
                await self._accept(self._decoder.flush())
                self._decoder = WireDecoder(wire)

    async def end(self) -> None:
        """Say that no more audio comes; harmless when that was said. The `Final` is the last event."""
        async with self._sending:
            if self._ended:
                return
            try:
                if self._container is not None:
                    await self._container.end()
                else:
                    await self._accept(self._decoder.flush())
            finally:
                self._ended = True
                self._stream.end()

    def drain(self) -> None:
        """End it, because the server shuts down."""
        if not self._ended:
            self.drained = True
            self._ending = asyncio.get_running_loop().create_task(self._end_quietly())

    def close(self) -> None:
        """Give it up; harmless when it is done."""
        self._ended = True
        if self._ending is not None:
            self._ending.cancel()
        if self._container is not None:
            self._container.close()
        self._stream.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event; ends after the `Final`."""
        event = await self._stream.__anext__()
        if isinstance(event, Partial):
            self._measure(event.time)
        elif isinstance(event, Final):
            self.finished = True
        elif isinstance(event, Segment) and self._settings.log_transcripts:
            tell("segment", stream=self.id, text=event.text, start=event.start, end=event.end)
        return event

    async def _accept(self, samples: Samples) -> None:
        longest = self._settings.max_stream_seconds
        if self.heard_seconds + len(samples) / SAMPLE_RATE > longest:
            raise ApiError(413, f"The stream is longer than {longest:g} s, the most that is served.", code="too_long")
        try:
            await self._stream.accept(samples, timeout=self._settings.idle_seconds)
        except BusyError as error:
            raise ApiError(429, str(error), code="too_fast") from None
        self._samples += len(samples)
        self._arrivals.append((self._samples, time.monotonic()))
        self._metrics.heard.labels(self._interface).inc(len(samples) / SAMPLE_RATE)

    def _measure(self, seconds: float) -> None:
        """Note how long ago the audio came that a text needed, which uses that many seconds."""
        needed = round(seconds * SAMPLE_RATE)
        while len(self._arrivals) > 1 and self._arrivals[0][0] < needed:
            self._arrivals.popleft()
        if self._arrivals:
            self._metrics.latency.labels(self._interface).observe(time.monotonic() - self._arrivals[0][1])

    async def _end_quietly(self) -> None:
        try:
            await self.end()
        except (ApiError, EngineError) as error:
            logger.warning("stream %s could not be ended: %s", self.id, error)
