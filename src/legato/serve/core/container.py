"""Audio that comes in a container (Ogg, WebM, MP3, ...) bit by bit: decoded in a thread while it arrives.

Of WAV FFmpeg wants to see 64 kB before it gives anything, 2 s at 16 kHz; of the others a few tenths of a second.
"""

import asyncio
import io
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np

from legato.audio.source import Samples, open_audio_file

_MOST_BYTES = 64_000
"""What may wait to be decoded before the client is slowed down."""

_BLOCK_SECONDS = 0.02
_HANDED_SECONDS = 1.0
"""Audio that is handed on together, when so much can be decoded at once."""


@dataclass(frozen=True, slots=True)
class Container:
    """The audio says itself what it is: any container that FFmpeg reads from a pipe. All channels are averaged."""


class ContainerReader:
    """Decodes what one client sends.

    Args:
        take: is given the samples, float32[n] at 16 kHz, in the loop in which the reader was made. It may wait, and
            with it, in the end, the client. What it raises ends the reader.
    """

    def __init__(self, take: Callable[[Samples], Awaitable[None]]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._feed = _Feed(self._hand_on, self._tell)
        self._ready: list[Samples] = []
        self._trouble: Exception | None = None
        self._done = False
        threading.Thread(target=self._run, name="legato-container", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Give it the next bytes; waits while many are not decoded yet.

        Raises:
            AudioError: they are no audio.
        """
        self._feed.write(data)
        await self._until(lambda: self._feed.size < _MOST_BYTES)

    async def settle(self) -> None:
        """Wait until everything is handed on that can be decoded of what came. Errors as for `write`."""
        await self._until(lambda: self._feed.starved)

    async def end(self) -> None:
        """Say that no more bytes come, and wait until everything is handed on. Errors as for `write`."""
        self._feed.end()
        await self._until(lambda: False)

    def close(self) -> None:
        """Give up what is not decoded."""
        self._feed.close()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while True:
            self._changed.clear()
            if self._trouble is not None:
                raise self._trouble
            if self._done or reached():
                return
            await self._changed.wait()

    def _tell(self) -> None:
        """Wake who waits; from the thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)

    def _run(self) -> None:
        """Decode to the end; the thread."""
        try:
            if self._feed.wait():
                with open_audio_file(cast("BinaryIO", self._feed), "stream") as audio:
                    audio.block_seconds = _BLOCK_SECONDS
                    for block in audio:
                        self._ready.append(block)
                        if len(self._ready) * _BLOCK_SECONDS >= _HANDED_SECONDS:
                            self._hand_on()
                self._hand_on()
        except Exception as error:
            self._trouble = self._trouble or error
        finally:
            self._done = True
            self._tell()

    def _hand_on(self) -> None:
        """Hand on what is decoded, and wait until it is taken; in the thread."""
        if self._ready and self._trouble is None:
            samples = np.concatenate(self._ready)
            self._ready.clear()
            giving = self._given(samples)
            try:
                asyncio.run_coroutine_threadsafe(giving, self._loop).result()
            except Exception as error:
                giving.close()  # where the loop has ended
                self._trouble = error
                self._feed.close()

    async def _given(self, samples: Samples) -> None:
        await self._take(samples)


class _Feed(io.RawIOBase):
    """A file whose bytes come later: one thread reads it, and waits for them; the loop writes it.

    Attributes:
        size: bytes that wait.
        starved: the reader waits for more.
    """

    def __init__(self, before_waiting: Callable[[], None], tell: Callable[[], None]) -> None:
        super().__init__()
        self._before_waiting = before_waiting
        self._tell_writer = tell
        self._news = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self.size = 0
        self.starved = False

    def write(self, data: bytes) -> int:  # type: ignore[override]  # bytes are all that comes
        """Add bytes; after the end they are dropped."""
        with self._news:
            if data and not self._ended:
                self._pieces.append(data)
                self.size += len(data)
                self.starved = False
                self._news.notify()
        return len(data)

    def end(self) -> None:
        """No more bytes come."""
        with self._news:
            self._ended = True
            self.starved = False
            self._news.notify()

    def close(self) -> None:
        """No more bytes come, and those that wait are dropped."""
        with self._news:
            self._pieces.clear()
            self.size = 0
        self.end()

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def wait(self) -> bool:
        """Wait for the first bytes; False when none ever come."""
        with self._news:
            self._wait()
            return bool(self._pieces)

    def read(self, size: int = -1, /) -> bytes:
        """Give what is there, at most so many bytes; waits while there is nothing; nothing at the end."""
        if not self._pieces and not self._ended:
            self._before_waiting()
        with self._news:
            self._wait()
            if not self._pieces:
                return b""
            piece = self._pieces.popleft()
            if 0 <= size < len(piece):
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            self.size -= len(piece)
        self._tell_writer()
        return piece

    def _wait(self) -> None:
        while not self._pieces and not self._ended:
            self.starved = True
            self._tell_writer()
            self._news.wait()
