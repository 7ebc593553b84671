"""Files: a few are recognized at a time, others wait, and those that nobody waits for are dropped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from legato.audio.source import SAMPLE_RATE
from legato.engine.streams import AsyncEngineStream
from legato.errors import EngineError
from legato.options import StreamOptions
from legato.serve.core.file_audio import FileAudio, KeptOpen
from legato.serve.core.options import Prepared
from legato.serve.core.parts import Parts
from legato.serve.errors import ApiError, ServerBusyError
from legato.serve.logs import log_event
from legato.serve.tracing import Attributes, span
from legato.streaming.collect import Collector
from legato.types import Event, Transcript

#: How often a file that waits for those of another process tries again.
_TURN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of a file.

    Attributes:
        transcript: the transcript.
        warnings: options that were ignored, and defects of the file.
    """

    transcript: Transcript
    warnings: list[str]


class Files:
    """Admits files and recognizes them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turn = asyncio.Semaphore(parts.settings.max_files)
        self._pool = ThreadPoolExecutor(parts.settings.max_files, thread_name_prefix="legato-decode")

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[None]:
        """Reserve room for a file, from before it arrives until its result is sent.

        Raises:
            ServerBusyError: there is no room (after a short wait for some), or the server is shutting down.
        """
        most = self._parts.settings.max_files + self._parts.settings.max_waiting
        with ExitStack() as held:
            try:
                held.enter_context(self._parts.drain.work())
                if not await self._parts.tally.take_soon("files", most):
                    raise ServerBusyError(f"The server already has {most} files, which is the limit. Try again later.")
            except ApiError as error:
                self._parts.metrics.refused.labels("files", error.code or "").inc()
                raise
            held.callback(self._parts.tally.give_back, "files")
            self._parts.metrics.files_waiting.inc()
            held.callback(self._parts.metrics.files_waiting.dec)
            yield

    async def recognize(
        self, file: BinaryIO, prepared: Prepared, on_event: Callable[[Event], None] | None = None
    ) -> FileResult:
        """Recognize a file when it is its turn. Cancelling drops the file.

        Args:
            file: seekable, at its start; it is closed.
            prepared: the options of its stream.
            on_event: called with every event.

        Raises:
            AudioTooLongError: the file has more audio than the settings allow.
            AudioError: see `open_audio`.
        """
        with span(self._parts.tracing, "legato.file") as attributes:
            async with self._parts.drain.until_abandoned(), self._working():
                audio = FileAudio(file, self._pool, self._parts.settings.max_audio_seconds)
                try:
                    await audio.open()
                    transcript = await self._recognize(audio, prepared.options, on_event)
                finally:
                    audio.close()
            self._describe(attributes, prepared, transcript.duration, 1)
        self._log(transcript)
        return FileResult(transcript, [*prepared.warnings, *audio.warnings])

    async def recognize_channels(self, file: BinaryIO, prepared: Prepared) -> list[FileResult]:
        """Recognize each channel of a file, one after another. Arguments and errors as for `recognize`.

        The limit on the audio applies to all channels together.
        """
        results: list[FileResult] = []
        most = self._parts.settings.max_audio_seconds
        with span(self._parts.tracing, "legato.file") as attributes:
            async with self._parts.drain.until_abandoned(), self._working():
                channels = 1
                try:
                    while len(results) < channels:
                        file.seek(0)
                        audio = FileAudio(KeptOpen.of(file), self._pool, most, len(results))
                        try:
                            await audio.open()
                            channels = audio.channels
                            transcript = await self._recognize(audio, prepared.options, None)
                        finally:
                            audio.close()
                        most -= transcript.duration
                        results.append(FileResult(transcript, [*prepared.warnings, *audio.warnings]))
                finally:
                    file.close()
            self._describe(attributes, prepared, self._parts.settings.max_audio_seconds - most, channels)
        for result in results:
            self._log(result.transcript)
        return results

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        async with self._turn:
            while not self._parts.tally.take("running_files", self._parts.settings.max_files):
                await asyncio.sleep(_TURN_SECONDS)  # the files of another process have their turn
            self._parts.metrics.files_waiting.dec()
            self._parts.metrics.files.inc()
            try:
                yield
            finally:
                self._parts.metrics.files.dec()
                self._parts.metrics.files_waiting.inc()  # `admit` subtracts it
                self._parts.tally.give_back("running_files")

    def _describe(self, attributes: Attributes, prepared: Prepared, seconds: float, channels: int) -> None:
        """Describe a file that is done in its span."""
        attributes |= {
            "legato.model": self._parts.settings.model, "legato.language": prepared.options.language,
            "legato.audio.seconds": round(seconds, 2), "legato.channels": channels,
        }  # fmt: skip

    def _log(self, transcript: Transcript) -> None:
        text = {"text": transcript.text} if self._parts.settings.log_transcripts else {}
        log_event("file", seconds=round(transcript.duration, 2), language=transcript.language, **text)

    async def _recognize(
        self, audio: FileAudio, options: StreamOptions, on_event: Callable[[Event], None] | None
    ) -> Transcript:
        stream = self._parts.engine.open_async(options)
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
                self._parts.metrics.received.labels("files").inc(len(block) / SAMPLE_RATE)
            stream.end()
        except BaseException:
            stream.close()
            raise
