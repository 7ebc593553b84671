"""Audio that comes while time passes: whoever brings it puts blocks into a queue, whoever hears it takes them out."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

from legato.audio.source import SAMPLE_RATE, Samples, is_url, open_audio, pcm_blocks
from legato.errors import AudioError, LegatoError

_BLOCK_SECONDS = 0.1


class LiveSource:
    """Blocks of float32[n], mono, 16 kHz, in the order in which they came; iterate once.

    What came before the end, before `stop` or before an error is given first; then the error is raised.
    """

    def __init__(self) -> None:
        # A SimpleQueue, for its `put` may interrupt its `get`: `stop` is called by a signal's handler.
        self._queue: SimpleQueue[Samples | BaseException | None] = SimpleQueue()
        self._stopped = False

    def stop(self) -> None:
        """End the audio where it is now; from any thread or signal handler."""
        self._stopped = True
        self._queue.put(None)

    def __iter__(self) -> Iterator[Samples]:
        """Give the blocks as they come.

        Raises:
            AudioError: why no more comes.
        """
        while (block := self._next()) is not None:
            yield block

    def _next(self, patience: float | None = None) -> Samples | None:
        """Wait for the next block, at most `patience` seconds (then queue.Empty); None is the end."""
        block = self._queue.get(timeout=patience)
        if isinstance(block, BaseException):
            raise block
        return block


class PlayedSource(LiveSource):
    """A file, address or pipe as a live source. A file is played as fast as it was spoken.

    Args:
        name: a file, an address, or - for raw 16-bit 16 kHz mono PCM on standard input.
        behind_seconds: how much audio may wait to be heard before a pipe or address is read on.
    """

    def __init__(self, name: str, *, behind_seconds: float = 30.0) -> None:
        super().__init__()
        self._name = name
        self._places = threading.Semaphore(max(2, round(behind_seconds / _BLOCK_SECONDS)))
        threading.Thread(target=self._feed, name="legato-played", daemon=True).start()

    def _next(self, patience: float | None = None) -> Samples | None:
        block = super()._next(patience)
        self._places.release()
        return block

    def _feed(self) -> None:
        try:
            if self._name == "-":
                # Not sys.stdin: its lock, held by a thread that waits for input, would hang the end of the process.
                self._give(pcm_blocks(io.FileIO(0, closefd=False)))
            else:
                with open_audio(self._name) as audio:
                    audio.block_seconds = _BLOCK_SECONDS
                    paced = not is_url(self._name) and Path(self._name).is_file()
                    self._give(_in_real_time(iter(audio)) if paced else iter(audio))
                    if audio.warnings and not self._stopped:
                        raise AudioError(f"{self._name}: {audio.warnings[-1]}.")
        except LegatoError as error:
            self._queue.put(error)
        except Exception as error:  # the other side must not wait for ever
            self._queue.put(AudioError(f"{self._name}: cannot be read on: {error}."))
        else:
            self._queue.put(None)

    def _give(self, blocks: Iterator[Samples]) -> None:
        for block in blocks:
            self._places.acquire()
            if self._stopped:
                return
            self._queue.put(block)


def _in_real_time(
    blocks: Iterator[Samples],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Samples]:
    """Give each block when the last of its samples would have been spoken."""
    started, samples = clock(), 0
    for block in blocks:
        samples += len(block)
        sleep(max(0.0, started + samples / SAMPLE_RATE - clock()))
        yield block


__all__ = ["Empty", "LiveSource", "PlayedSource"]
