"""Driver of Legato: a stream, a file, or the largest number of live streams that keep up.

    python -m bench.peers.drive_legato --model FOLDER --mode stream|file|streams --threads N WAV...

It runs bundles of both layouts. `streams` sends the first ten seconds as live audio through the engine, and searches
for the largest number of streams for which the 95th percentile of the lag is at most one chunk.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from bench.peers.driver import RATE, Outcome, Samples, Task, parse, read_wav, report, run
from legato import Recognizer, __version__, load
from legato.lab.live_load import Load, largest, under_load
from legato.runtime.encoder import Encoder, EncoderState
from legato.types import Frames

_LIVE_SECONDS = 10


class TimedEncoder:
    """An encoder that records the milliseconds of every step."""

    def __init__(self, encoder: Encoder, times: list[float]) -> None:
        self._encoder, self._times = encoder, times
        self.window_samples = encoder.window_samples
        self.start, self.ready = encoder.start, encoder.ready

    def step(self, states: Sequence[EncoderState], frames: int) -> list[tuple[Frames, EncoderState]]:
        """See `legato.runtime.encoder.Encoder.step`."""
        before = time.perf_counter()
        results = self._encoder.step(states, frames)
        self._times.append(1000 * (time.perf_counter() - before))
        return results


class LegatoPeer:
    """Legato with the interface of the drivers."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._recognizer: Recognizer = load(task.model, threads=task.threads)
        self.version = f"legato {__version__}, {self._recognizer.bundle.layout} layout"
        self.parts: dict[str, list[float]] = {"encoder": []}

    def file(self, samples: Samples) -> Outcome:
        """See `Peer.file`."""
        found = self._recognizer.transcribe(samples, language=self._task.language, chunk_ms=self._task.chunk_ms)
        return Outcome(len(found.tokens), found.text)

    def stream(self, pieces: Iterator[Samples]) -> Outcome:
        """See `Peer.stream`."""
        self._recognizer.pipeline.encoder = TimedEncoder(self._recognizer.pipeline.encoder, self.parts["encoder"])
        with self._recognizer.stream(language=self._task.language, chunk_ms=self._task.chunk_ms) as stream:
            for piece in pieces:
                stream.accept(piece)
            stream.finish()
            return Outcome(len(stream.transcript.tokens), stream.transcript.text)


def live_streams(task: Task) -> None:
    """Print the largest number of live streams that keep up."""
    samples = np.concatenate([read_wav(path) for path in task.audio])[: _LIVE_SECONDS * RATE]
    recognizer = load(task.model, threads=task.threads)
    loads: list[Load] = []

    def keeps_up(streams: int) -> bool:
        loads.append(under_load(recognizer, samples, streams, task.chunk_ms))
        return loads[-1].keeps_up

    most = largest(keeps_up, 64)
    report(
        task,
        {
            "version": f"legato {__version__}",
            "streams_in_real_time": most,
            "loads": [asdict(load) for load in loads],
        },
    )


def main() -> None:
    """Run from the command line."""
    task = parse(("file", "stream", "streams"))
    if task.mode == "streams":
        live_streams(task)
    else:
        run(task, LegatoPeer)


if __name__ == "__main__":
    main()
