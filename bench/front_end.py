"""CPU time of the log-mel front end per stream, computed for one stream or for several at once.

    python -m bench.front_end [--streams 1,4,16,64] [--rounds 100]

Milliseconds for the 32 mel frames of a chunk of 320 ms. Legato computes every stream alone.
"""

import argparse
import time

import numpy as np

from legato.runtime.features import LogMel

_FRAMES = 32


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="1,4,16,64", help="numbers of streams, as 1,4")
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    front_end = LogMel()
    for streams in map(int, arguments.streams.split(",")):
        rows = np.random.default_rng(0).normal(size=(streams * _FRAMES, front_end.config.window_length))
        times = []
        for _ in range(arguments.rounds):
            before = time.thread_time()
            front_end._log_mel(rows)
            times.append(1000 * (time.thread_time() - before))
        print(f"{streams:4} streams: {np.median(times) / streams:.3f} ms per stream")


if __name__ == "__main__":
    main()
