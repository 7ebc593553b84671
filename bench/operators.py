"""Time of an encoder step by operator, according to ONNX Runtime's profiler.

    python -m bench.operators MODEL [--threads 1] [--streams 1] [--steps 15] [--most 15]

The profiler adds a few microseconds per operator, so small operators look slower than they are. The step is also timed
without the profiler.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import legato
from bench.encoder_step import start
from legato.runtime.encoder import EncoderState
from legato.runtime.session import Session, session_options

_FRAMES = 4
_WARM_UP = 3


def run(recognizer: legato.Recognizer, states: Sequence[EncoderState], steps: int) -> float:
    """Return the median time per step in milliseconds."""
    times = []
    for _ in range(_WARM_UP + steps):
        before = time.perf_counter()
        states = [state for _, state in recognizer.pipeline.encoder.step(states, _FRAMES)]
        times.append(1000 * (time.perf_counter() - before))
    return float(np.median(times[_WARM_UP:]))


def profile(model: Path, threads: int, streams: int, steps: int) -> tuple[float, dict[str, tuple[float, int]]]:
    """Return the milliseconds of a step, and for each operator its milliseconds and number of nodes per step."""
    recognizer = legato.load(model, threads=threads)
    states = start(recognizer, streams, _WARM_UP + steps)
    plain = run(recognizer, states, steps)
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = Session(str(model / "encoder.onnx"), options, providers=["CPUExecutionProvider"])
        recognizer.pipeline.encoder._session = session  # type: ignore[attr-defined]
        run(recognizer, states, steps)
        events = json.loads(Path(session.end_profiling()).read_text())
    totals: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            totals[event["args"]["op_name"]].append(event["dur"] / 1000)
    every = _WARM_UP + steps
    return plain, {name: (sum(values) / every, len(values) // every) for name, values in totals.items()}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a bundle in the native layout")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--most", type=int, default=15, help="operators to print")
    arguments = parser.parse_args()
    plain, found = profile(arguments.model, arguments.threads, arguments.streams, arguments.steps)
    total = sum(milliseconds for milliseconds, _ in found.values())
    print(f"{plain:.1f} ms per step without the profiler, {total:.1f} ms of operators with it")
    for name, (milliseconds, count) in sorted(found.items(), key=lambda item: -item[1][0])[: arguments.most]:
        print(f"{name:24} {milliseconds:8.2f} ms {milliseconds / total:6.1%} {count:5} nodes")


if __name__ == "__main__":
    main()
