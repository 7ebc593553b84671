"""Files through the engine: few at a time, decoded in threads, and dropped when nobody waits for the result."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import BinaryIO

from legato.audio.source import SAMPLE_RATE, AudioFile, Samples, open_audio_file
from legato.engine.engine import Engine
from legato.engine.streams import AsyncEngineStream
from legato.errors import EngineError
from legato.recognizer import Options
from legato.serve.core.drain import Drain
from legato.serve.errors import ApiError, busy
from legato.serve.metrics import Metrics
from legato.serve.settings import Settings
from legato.streaming.collect import with_segments
from legato.types import Event, Final, Segment, Transcript

_BLOCK_SECONDS = 5.0


class Files:
    """Admits files and recognises them."""

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
        """Hold a place for a file, from before it arrives until its result is sent.

        Raises:
            ApiError: no place is free, or the server shuts down.
        """
        most = self._settings.max_files + self._settings.max_waiting
        try:
            if self._admitted >= most:
                raise busy(f"The server has {most} files to do, all that it admits. Try again later.")
            working = self._drain.work()
            working.__enter__()
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
            working.__exit__(None, None, None)

    async def recognise(
        self, file: BinaryIO, options: Options, tell: Callable[[Event], None] | None = None
    ) -> tuple[Transcript, list[str]]:
        """Recognise a file when it is its turn; cancelling gives it up.

        Args:
            file: seekable, at its start; it is closed.
            options: as for `Engine.stream`.
            tell: is called with every event.

        Returns:
            The transcript, and what is wrong with the file.

        Raises:
            ApiError: it has more audio than is accepted.
            AudioError, LanguageError, PhraseError, ChunkSizeError: what was wrong and what to do.
        """
        async with self._turn:
            self._metrics.files.inc()
            blocks = _Blocks(file, self._pool, self._settings.max_audio_seconds)
            try:
                return await self._recognise(blocks, options, tell), blocks.warnings
            finally:
                blocks.close()
                self._metrics.files.dec()

    def close(self) -> None:
        """Give up the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _recognise(self, blocks: "_Blocks", options: Options, tell: Callable[[Event], None] | None) -> Transcript:
        await blocks.open()
        stream = self._engine.open_async(**options)
        feeding = asyncio.create_task(self._feed(stream, blocks))
        segments: list[Segment] = []
        final = None
        try:
            async for event in stream:
                if tell is not None:
                    tell(event)
                if isinstance(event, Segment):
                    segments.append(event)
                elif isinstance(event, Final):
                    final = event
            await feeding
        except EngineError:
            await asyncio.wait({feeding})
            if not feeding.cancelled() and (error := feeding.exception()) is not None:
                raise error from None  # why the stream was closed
            raise
        finally:
            feeding.cancel()
            stream.close()
        assert final is not None
        return with_segments(segments, final.transcript)

    async def _feed(self, stream: AsyncEngineStream, blocks: "_Blocks") -> None:
        try:
            while (block := await blocks.next()) is not None:
                await stream.accept(block)
                self._metrics.heard.labels("files").inc(len(block) / SAMPLE_RATE)
            stream.end()
        except BaseException:
            stream.close()
            raise


class _Blocks:
    """A file's audio, decoded in threads a block at a time, as far as it may be.

    Attributes:
        warnings: what is wrong with the file; complete after the last block.
    """

    def __init__(self, file: BinaryIO, pool: ThreadPoolExecutor, most_seconds: float) -> None:
        self._file = file
        self._pool = pool
        self._most = most_seconds
        self._lock = threading.Lock()  # a thread may be decoding when the request is given up
        self._audio: AudioFile | None = None
        self._blocks: Iterator[Samples] = iter(())
        self._closed = False
        self._heard = 0
        self.warnings: list[str] = []

    async def open(self) -> None:
        """Read the file's head."""
        await self._in_thread(self._open)

    async def next(self) -> Samples | None:
        """Decode the next block, float32[n] at 16 kHz; None behind the last."""
        block = await self._in_thread(lambda: next(self._blocks, None))
        if block is None:
            assert self._audio is not None
            self.warnings = self._audio.warnings
            return None
        self._heard += len(block)
        self._check(self._heard / SAMPLE_RATE)
        return block

    def close(self) -> None:
        """Close the file, once no thread uses it."""
        try:
            self._pool.submit(self._close)
        except RuntimeError:  # the server has ended, and its threads with it
            self._close()

    async def _in_thread(self, call: "Callable[[], Samples | None]") -> Samples | None:
        def run() -> Samples | None:
            with self._lock:
                return None if self._closed else call()

        return await asyncio.get_running_loop().run_in_executor(self._pool, run)

    def _open(self) -> None:
        self._audio = open_audio_file(self._file, "file")
        self._audio.block_seconds = _BLOCK_SECONDS
        self._blocks = iter(self._audio)
        self._check(self._audio.duration or 0.0)

    def _check(self, seconds: float) -> None:
        if seconds > self._most:
            raise ApiError(
                413,
                f"The file has more than {self._most:g} s of audio, the most that is accepted. Send it in parts.",
                code="audio_too_long",
                param="file",
            )

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            if self._audio is not None:
                self._audio.close()
            self._file.close()
