"""The audio of an uploaded file, decoded block by block in threads."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, cast

from legato.audio.source import SAMPLE_RATE, AudioFile, Samples
from legato.serve.errors import AudioTooLongError

_BLOCK_SECONDS = 5.0


class FileAudio:
    """The audio of a file. Close it when it is no longer needed.

    Args:
        file: seekable, at its start; it is closed with this object.
        pool: the threads that decode.
        most_seconds: the limit on the audio.
        channel: the only channel to read, counted from 0; None averages all.

    Attributes:
        warnings: defects of the file; complete after the last block.
        channels: number of channels in the file; known after `open`.
    """

    def __init__(
        self, file: BinaryIO, pool: ThreadPoolExecutor, most_seconds: float, channel: int | None = None
    ) -> None:
        self.warnings: list[str] = []
        self.channels = 1
        self._channel = channel
        self._file = file
        self._pool = pool
        self._most = most_seconds
        self._lock = threading.Lock()  # a thread may still be decoding when the request is cancelled
        self._audio: AudioFile | None = None
        self._blocks: Iterator[Samples] = iter(())
        self._closed = False
        self._samples = 0

    async def open(self) -> None:
        """Read the head of the file.

        Raises:
            AudioError: the file is not audio.
            AudioTooLongError: its duration exceeds the limit.
        """
        await self._in_thread(self._open)

    async def next(self) -> Samples | None:
        """Decode the next block, float32[n] at 16 kHz; None after the last.

        Raises:
            AudioError: the file is damaged beyond use.
            AudioTooLongError: the audio so far exceeds the limit.
        """
        block = await self._in_thread(lambda: next(self._blocks, None))
        if block is None:
            assert self._audio is not None
            self.warnings = self._audio.warnings
            return None
        self._samples += len(block)
        self._check(self._samples / SAMPLE_RATE)
        return block

    def close(self) -> None:
        """Close the file as soon as no thread uses it."""
        try:
            self._pool.submit(self._close)
        except RuntimeError:  # the server has ended, and with it its threads
            self._close()

    async def _in_thread(self, call: Callable[[], Samples | None]) -> Samples | None:
        def run() -> Samples | None:
            with self._lock:
                return None if self._closed else call()

        return await asyncio.get_running_loop().run_in_executor(self._pool, run)

    def _open(self) -> None:
        self._audio = AudioFile(KeptOpen.of(self._file), "file", self._channel)
        self.channels = self._audio.channels
        self._audio.block_seconds = _BLOCK_SECONDS
        self._blocks = iter(self._audio)
        self._check(self._audio.duration or 0.0)

    def _check(self, seconds: float) -> None:
        if seconds > self._most:
            raise AudioTooLongError(self._most)

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            if self._audio is not None:
                self._audio.close()
            self._file.close()


class KeptOpen:
    """A file that is not closed by its reader, so that it can be read again.

    It has no descriptor: asking a spooled file for its own moves it from memory to the disk.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def fileno(self) -> int:
        """Raise UnsupportedOperation."""
        raise io.UnsupportedOperation("fileno")

    def close(self) -> None:
        """Do nothing."""

    @classmethod
    def of(cls, file: BinaryIO) -> BinaryIO:
        """Return a file that is not closed by its reader."""
        return cast("BinaryIO", cls(file))
