"""Files: a few are recognized at a time, others wait, and those that nobody waits for are dropped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from legato.audio.source import SAMPLE_RATE
from legato.engine.engine import Engine
from legato.engine.streams import AsyncEngineStream
from legato.errors import EngineError
from legato.options import StreamOptions
from legato.serve.core.drain import Drain
from legato.serve.core.file_audio import FileAudio
from legato.serve.errors import ApiError, ServerBusyError
from legato.serve.logs import log_event
from legato.serve.metrics import Metrics
from legato.serve.settings import Settings
from legato.streaming.collect import Collector
from legato.types import Event, Transcript


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of a file.

    Attributes:
        transcript: the transcript.
        warnings: defects of the file.
    """

    transcript: Transcript
    warnings: list[str]


class Files:
    """Admits files and recognizes them."""

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics, drain: Drain) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._drain = drain
        self._admitted = 0
        self._turn = asyncio.Semaphore(settings.max_files)
        self._pool = ThreadPoolExecutor(settings.max_files, thread_name_prefix="legato-decode")

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[None]:
        """Reserve room for a file, from before it arrives until its result is sent.

        Raises:
            ServerBusyError: there is no room, or the server is shutting down.
        """
        most = self._settings.max_files + self._settings.max_waiting
        try:
            if self._admitted >= most:
                raise ServerBusyError(f"The server already has {most} files, which is the limit. Try again later.")
            work = self._drain.work()
            work.__enter__()
        except ApiError as error:
            self._metrics.refused.labels("files", error.code or "").inc()
            raise
        self._admitted += 1
        self._metrics.files_waiting.inc()
        try:
            yield
        finally:
            self._admitted -= 1
            self._metrics.files_waiting.dec()
            work.__exit__(None, None, None)

    async def recognize(
        self, file: BinaryIO, options: StreamOptions, on_event: Callable[[Event], None] | None = None
    ) -> FileResult:
        """Recognize a file when it is its turn. Cancelling drops the file.

        Args:
            file: seekable, at its start; it is closed.
            options: the options of its stream.
            on_event: called with every event.

        Raises:
            AudioTooLongError: the file has more audio than the settings allow.
            AudioError, LanguageError, PhraseError, ChunkSizeError: see `Recognizer.transcribe`.
        """
        async with self._turn:
            self._metrics.files.inc()
            audio = FileAudio(file, self._pool, self._settings.max_audio_seconds)
            try:
                await audio.open()
                transcript = await self._recognize(audio, options, on_event)
            finally:
                audio.close()
                self._metrics.files.dec()
        text = {"text": transcript.text} if self._settings.log_transcripts else {}
        log_event("file", seconds=round(transcript.duration, 2), language=transcript.language, **text)
        return FileResult(transcript, audio.warnings)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _recognize(
        self, audio: FileAudio, options: StreamOptions, on_event: Callable[[Event], None] | None
    ) -> Transcript:
        stream = self._engine.open_async(options)
        feeding = asyncio.create_task(self._feed(stream, audio))
        collected = Collector()
        try:
            async for event in stream:
                collected.add([event])
                if on_event is not None:
                    on_event(event)
            await feeding
        except EngineError:
            await asyncio.wait({feeding})
            if not feeding.cancelled() and (error := feeding.exception()) is not None:
                raise error from None  # the reason why the stream was closed
            raise
        finally:
            feeding.cancel()
            stream.close()
        return collected.transcript

    async def _feed(self, stream: AsyncEngineStream, audio: FileAudio) -> None:
        try:
            while (block := await audio.next()) is not None:
                await stream.accept(block)
                self._metrics.heard.labels("files").inc(len(block) / SAMPLE_RATE)
            stream.end()
        except BaseException:
            stream.close()
            raise
