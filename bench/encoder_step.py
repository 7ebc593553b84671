"""Encoder step of several bundles, measured alternately: milliseconds, and the ratio to the last bundle.

    python -m bench.encoder_step BUNDLE... [--threads 1] [--streams 1] [--rounds 20] [--cpu-time]

A bundle in the published layout has batch size 1, so its streams are computed one after the other.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import legato
from legato.runtime.encoder import EncoderState

_CHUNK_MS = 320
_FRAMES = 4
_WARM_UP = 3


def start(recognizer: legato.Recognizer, streams: int, steps: int) -> list[EncoderState]:
    """Return states with audio for a number of steps. The audio is noise: its content does not affect the time."""
    samples = np.random.default_rng(0).normal(0, 0.1, 16 * _CHUNK_MS * (steps + 2)).astype(np.float32)
    state = recognizer.start(chunk_ms=_CHUNK_MS)
    recognizer.pipeline.feed(state, samples)
    return [state.audio.encoder] * streams


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cpu-time", action="store_true", help="CPU time, which other programs affect less")
    arguments = parser.parse_args()
    recognizers = [legato.load(bundle, threads=arguments.threads) for bundle in arguments.bundles]
    now = time.process_time if arguments.cpu_time else time.perf_counter
    steps = _WARM_UP + arguments.rounds
    states = [start(recognizer, arguments.streams, steps) for recognizer in recognizers]
    times = np.zeros((len(recognizers), steps))
    for step in range(steps):
        for number, recognizer in enumerate(recognizers):
            before = now()
            results = recognizer.pipeline.encoder.step(states[number], _FRAMES)
            times[number, step] = 1000 * (now() - before)
            states[number] = [state for _, state in results]
    medians = np.median(times[:, _WARM_UP:], axis=1)
    for bundle, milliseconds in zip(arguments.bundles, medians, strict=True):
        print(f"{bundle.name:24} {milliseconds:8.1f} ms {milliseconds / medians[-1]:6.2f}")


if __name__ == "__main__":
    main()
