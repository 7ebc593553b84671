"""Read bandwidth of this machine's memory: a lower bound of the time per chunk, which reads every weight once.

    python bench/bandwidth.py [--threads 1 2] [--megabytes 512] [--json FILE]

A block that is far larger than the caches is read in several ways, a few times each; the fastest counts. Every thread
reads its own part. If there is a C compiler (cc or gcc), a loop over 64-bit words is one of the ways.
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.int8]
Reader = Callable[[Block], object]

_C = """
#include <stddef.h>
#include <stdint.h>
uint64_t read_words(const uint64_t *p, size_t n) {
    uint64_t a[32] = {0}, sum = 0;
    for (size_t i = 0; i + 32 <= n; i += 32)
        for (int j = 0; j < 32; j++) a[j] ^= p[i + j];
    for (int j = 0; j < 32; j++) sum ^= a[j];
    return sum;
}
"""


def readers(folder: Path) -> dict[str, Reader]:
    """Return ways to read a block, by name."""
    ways: dict[str, Reader] = {
        "max of int8": lambda block: block.max(),
        "max of float32": lambda block: block.view(np.float32).max(),
        "or of int64": lambda block: np.bitwise_or.reduce(block.view(np.int64)),
        "count of nonzero bytes": lambda block: np.count_nonzero(block.view(np.bool_)),
    }
    if (compiled := _compiled(folder)) is not None:
        ways["C"] = compiled
    return ways


def _compiled(folder: Path) -> Reader | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    source, library = folder / "read.c", folder / "read.so"
    source.write_text(_C)
    command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(library)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    function = ctypes.CDLL(str(library)).read_words
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    function.restype = ctypes.c_uint64
    return lambda block: function(block.ctypes.data, len(block) // 8)


def measure(threads: int, megabytes: int, repeats: int = 7) -> dict[str, float]:
    """Return gigabytes (10**9 bytes) per second of every way to read, the best of the repeats."""
    size = megabytes * 1_000_000 // threads // 64 * 64
    # Ones, written by the thread that will read them: all untouched zero pages are the same physical page.
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(threads) as pool:
        blocks = list(pool.map(lambda _: np.ones(size, np.int8), range(threads)))
        found = {}
        for name, reader in readers(Path(folder)).items():
            times = []
            for _ in range(repeats):
                before = time.perf_counter()
                list(pool.map(reader, blocks))
                times.append(time.perf_counter() - before)
            found[name] = size * threads / min(times) / 1e9
    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, min(2, cores), cores}))
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = {number: measure(number, arguments.megabytes) for number in arguments.threads}
    for number, ways in figures.items():
        listed = ", ".join(f"{name} {speed:.1f}" for name, speed in ways.items())
        print(f"{number} thread{'s' if number > 1 else ''}: {max(ways.values()):.1f} GB/s ({listed})")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
