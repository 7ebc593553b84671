"""Audio that arrives in real time: a producer puts blocks into a queue, a consumer iterates over them."""

import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import BinaryIO, cast

from legato.audio.addresses import is_url, local_path
from legato.audio.blocks import AudioBlocks
from legato.audio.pipe import open_pipe
from legato.audio.resample import SAMPLE_RATE
from legato.audio.source import open_audio
from legato.errors import AudioError, LegatoError
from legato.types import Samples

logger = logging.getLogger("legato")

_BLOCK_SECONDS = 0.1


class LiveSource:
    """Blocks of float32[n], mono, 16 kHz, in the order of their arrival; iterate once.

    All blocks that arrived before the end, before `stop` or before an error are returned first; then the error is
    raised.
    """

    def __init__(self) -> None:
        # SimpleQueue, because its `put` may interrupt its `get`: a signal handler calls `stop`.
        self._queue: SimpleQueue[Samples | BaseException | None] = SimpleQueue()
        self._stopped = False

    def stop(self) -> None:
        """End the audio at its current position. May be called from any thread or signal handler."""
        self._stopped = True
        self._queue.put(None)

    def __iter__(self) -> Iterator[Samples]:
        """Return the blocks as they arrive.

        Raises:
            AudioError: the reason why no more audio arrives.
        """
        while (block := self._next()) is not None:
            yield block

    def _next(self, timeout: float | None = None) -> Samples | None:
        """Wait for the next block for at most `timeout` seconds (then queue.Empty); None is the end."""
        block = self._queue.get(timeout=timeout)
        if isinstance(block, BaseException):
            raise block
        return block


class PlayedSource(LiveSource):
    """A file, address or pipe as a live source. A file is played at the speed at which it was recorded.

    Args:
        name: a file, an address, or - for standard input: a file, or raw 16-bit 16 kHz mono PCM.
        buffer_seconds: how much unread audio is kept; a pipe or address is not read further while the buffer is full.
    """

    def __init__(self, name: str, *, buffer_seconds: float = 30.0) -> None:
        super().__init__()
        self._name = name
        self._free_blocks = threading.Semaphore(max(2, round(buffer_seconds / _BLOCK_SECONDS)))
        threading.Thread(target=self._feed, name="legato-played", daemon=True).start()

    def _next(self, timeout: float | None = None) -> Samples | None:
        block = super()._next(timeout)
        self._free_blocks.release()
        return block

    def _feed(self) -> None:
        try:
            if self._name == "-":
                # Not sys.stdin: a thread that waits for input holds its lock, and the process could not end.
                self._play(open_pipe(cast("BinaryIO", io.FileIO(0, closefd=False))), paced=False)
            else:
                paced = not is_url(self._name) and local_path(self._name).is_file()
                self._play(open_audio(self._name), paced)
        except LegatoError as error:
            self._queue.put(error)
        except Exception as error:  # the consumer must not wait for ever
            self._queue.put(AudioError(f"{self._name}: no more of it can be read: {error}."))
        else:
            self._queue.put(None)

    def _play(self, audio: AudioBlocks, paced: bool) -> None:
        with audio:
            audio.block_seconds = _BLOCK_SECONDS
            self._put(_in_real_time(iter(audio)) if paced else iter(audio))
            if not self._stopped and not audio.complete:
                raise AudioError(f"{audio.name}: {'; '.join(audio.warnings)}.")
            for warning in audio.warnings:
                logger.warning("%s: %s", audio.name, warning)

    def _put(self, blocks: Iterator[Samples]) -> None:
        for block in blocks:
            self._free_blocks.acquire()
            if self._stopped:
                return
            self._queue.put(block)


def _in_real_time(
    blocks: Iterator[Samples],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Samples]:
    """Return each block at the time at which its last sample would have been recorded."""
    started, samples = clock(), 0
    for block in blocks:
        samples += len(block)
        sleep(max(0.0, started + samples / SAMPLE_RATE - clock()))
        yield block


__all__ = ["Empty", "LiveSource", "PlayedSource"]
