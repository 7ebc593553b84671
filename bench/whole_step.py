"""A step of several streams with its search, of several bundles alternately: milliseconds of wall clock and CPU.

    python -m bench.whole_step BUNDLE... [--threads 2] [--streams 16] [--rounds 20] [--chunk-ms 320] [--rate 3]

The audio is the English sample that comes with Legato, from another place on for every stream. Tokens are emitted at
`--rate` per second, as `bench.speaking` explains. CPU time is steadier than wall-clock
time on a machine with other load.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import legato
from bench.speaking import speak
from legato.lab.benchmark import sample_audio
from legato.streaming.state import StreamState

_WARM_UP = 3
_APART = 4000


class Subject:
    """One bundle with its streams."""

    def __init__(self, bundle: Path, threads: int, streams: int, chunk_ms: int, rate: float, steps: int) -> None:
        self.name = bundle.name
        self.frames = chunk_ms // 80
        audio = sample_audio((steps + 2) * chunk_ms / 1000 + streams * _APART / 16000)
        self.states: list[StreamState] = []
        recognizer = legato.load(bundle, threads=threads)
        self.pipeline = recognizer.pipeline
        self.speaking = speak(recognizer, rate)
        for number in range(streams):
            state = recognizer.start(chunk_ms=chunk_ms)
            self.pipeline.feed(state, audio[_APART * number :][: 16 * chunk_ms * (steps + 2)])
            self.states.append(state)
        self.times: list[tuple[float, float, float, float]] = []
        self._encode, self.pipeline.encoder.step = self.pipeline.encoder.step, self._timed  # type: ignore[method-assign]

    def step(self) -> None:
        """Compute one step."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.pipeline.step(self.states, self.frames)
        self.times.append((time.perf_counter() - wall, time.process_time() - cpu, *self._encoder))

    def _timed(self, *arguments):  # type: ignore[no-untyped-def]
        wall, cpu = time.perf_counter(), time.process_time()
        results = self._encode(*arguments)
        self._encoder = time.perf_counter() - wall, time.process_time() - cpu
        return results


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--chunk-ms", type=int, default=320)
    parser.add_argument("--rate", type=float, default=3.0, help="tokens per second of a stream")
    arguments = parser.parse_args()
    steps = _WARM_UP + arguments.rounds
    settings = arguments.threads, arguments.streams, arguments.chunk_ms, arguments.rate
    subjects = [Subject(bundle, *settings, steps) for bundle in arguments.bundles]
    for _ in range(steps):
        for subject in subjects:
            subject.step()
    print(f"{'bundle':24} {'wall':>8} {'CPU':>8} {'encoder':>8} {'search':>8} {'calls':>6} {'rows':>6}")
    for subject in subjects:
        wall, cpu, _, encoder = 1000 * np.median(np.array(subject.times)[_WARM_UP:], axis=0)
        calls, rows = subject.speaking.calls / steps, subject.speaking.rows / steps
        print(
            f"{subject.name:24} {wall:8.1f} {cpu:8.1f} {encoder:8.1f} {cpu - encoder:8.1f} {calls:6.1f} {rows:6.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
