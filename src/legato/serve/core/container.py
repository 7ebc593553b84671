"""Audio in a container (Ogg, WebM, MP3, ...) that arrives in pieces: decoded in a thread meanwhile.

FFmpeg needs 64 kB of a WAV file before it returns any samples, which is 2 s at 16 kHz; of other containers it needs a
few tenths of a second.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np

from legato.audio.source import Samples, open_audio_file
from legato.serve.core.pipe import Pipe

#: Bytes that may wait to be decoded; with more, the client is slowed down.
_MOST_BYTES = 64_000
_BLOCK_SECONDS = 0.02
#: Seconds of audio that are handed on together if that much can be decoded at once.
_HANDED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Container:
    """The format of audio in any container that FFmpeg reads from a pipe. All channels are averaged."""


class ContainerDecoder:
    """Decodes the container that one client sends.

    Args:
        take: receives the samples, float32[n] at 16 kHz, in the event loop in which the decoder was created. While it
            waits, the client is slowed down. Its exceptions end the decoder.
    """

    def __init__(self, take: Callable[[Samples], Awaitable[None]]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._pipe = Pipe(self._hand_on, self._notify)
        self._ready: list[Samples] = []
        self._failure: Exception | None = None
        self._done = False
        threading.Thread(target=self._run, name="legato-container", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Decode the next bytes; wait while many bytes are not decoded yet.

        Raises:
            AudioError: the bytes are not audio.
        """
        self._pipe.write(data)
        await self._until(lambda: self._pipe.size < _MOST_BYTES)

    async def flush(self) -> None:
        """Wait until all samples are handed on that can be decoded so far. Errors as for `write`."""
        await self._until(lambda: self._pipe.starved)

    async def end(self) -> None:
        """Mark the end of the audio, and wait until all samples are handed on. Errors as for `write`."""
        self._pipe.end()
        await self._until(lambda: False)

    def close(self) -> None:
        """Drop what has not been decoded."""
        self._pipe.close()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while True:
            self._changed.clear()
            if self._failure is not None:
                raise self._failure
            if self._done or reached():
                return
            await self._changed.wait()

    def _notify(self) -> None:
        """Wake the waiting coroutine; called from the thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)

    def _run(self) -> None:
        """Decode to the end; the thread's function."""
        try:
            if self._pipe.wait():
                with open_audio_file(cast("BinaryIO", self._pipe), "stream") as audio:
                    audio.block_seconds = _BLOCK_SECONDS
                    for block in audio:
                        self._ready.append(block)
                        if len(self._ready) * _BLOCK_SECONDS >= _HANDED_SECONDS:
                            self._hand_on()
                self._hand_on()
        except Exception as error:
            self._failure = self._failure or error
        finally:
            self._done = True
            self._notify()

    def _hand_on(self) -> None:
        """Hand on the decoded samples, and wait until they are taken; called in the thread."""
        if self._ready and self._failure is None:
            samples = np.concatenate(self._ready)
            self._ready.clear()
            taking = self._taken(samples)
            try:
                asyncio.run_coroutine_threadsafe(taking, self._loop).result()
            except Exception as error:
                taking.close()  # it never started if the loop has ended
                self._failure = error
                self._pipe.close()

    async def _taken(self, samples: Samples) -> None:
        await self._take(samples)
