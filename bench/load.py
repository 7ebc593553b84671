"""Load to first chunk, and private memory, of a bundle itself and of its optimized copy; each in a fresh process.

    python -m bench.load BUNDLE [--rounds 5] [--threads 2] [--home FOLDER] [--packages FOLDER]

CPU is the time of the processor until the first chunk, the start of Python included; other programs affect it less.
Every round measures each case once: the bundle itself, and the copy while another process has it loaded, which is the
case of a further process. The first start, which makes the copy, is measured once. `--home` is a cache folder for the
copies, by default a temporary one. `--packages` gives the folder of an ONNX Runtime that is restricted to AVX2
(`bench/without_vnni.py`).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_CHILD = """
import json, re, sys, time
started = time.perf_counter()
import numpy as np
import legato
recognizer = legato.load(sys.argv[1], threads=int(sys.argv[2]))
loaded = time.perf_counter()
samples = np.random.default_rng(0).normal(0, 0.1, 16 * 400).astype(np.float32)
stream = recognizer.stream(chunk_ms=320)
stream.accept(samples)
first = time.perf_counter()
cpu = time.process_time()
steps = []
for _ in range(10):
    before = time.perf_counter()
    stream.accept(samples[:5120])
    steps.append(time.perf_counter() - before)
memory = open("/proc/self/smaps_rollup").read()
private = sum(map(int, re.findall(r"Private_\\w+: +(\\d+) kB", memory)))
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
print(json.dumps({"load_s": loaded - started, "first_chunk_s": first - started, "cpu_s": cpu,
                  "private_mb": private / 1000,
                  "peak_mb": peak / 1000, "chunk_ms": 1000 * sorted(steps)[5]}), flush=True)
if len(sys.argv) > 3:
    sys.stdin.read()
"""


class Start:
    """A process that loads the bundle, measures, and with `stay` keeps it loaded until `end`."""

    def __init__(self, arguments: argparse.Namespace, home: Path, *, copy: bool, stay: bool = False) -> None:
        path = os.pathsep.join(filter(None, (str(arguments.packages or ""), os.environ.get("PYTHONPATH"))))
        variables = {"LEGATO_HOME": str(home), "PYTHONPATH": path, **({} if copy else {"LEGATO_OPTIMIZED_MB": "0"})}
        command = [
            sys.executable,
            "-c",
            _CHILD,
            str(arguments.bundle),
            str(arguments.threads),
            *(["stay"] if stay else []),
        ]
        self._process = subprocess.Popen(
            command, env={**os.environ, **variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.figures: dict[str, float] = json.loads(self._process.stdout.readline())
        if not stay:
            self.end()

    def end(self) -> None:
        """Wait until the process has ended."""
        self._process.communicate()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path, help="cache folder")
    parser.add_argument("--packages", type=Path, help="folder of packages that comes first")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = arguments.home or Path(temporary)
        found: dict[str, list[dict[str, float]]] = {"first start": [Start(arguments, home, copy=True).figures]}
        os.sync()  # pages that are not on the disk yet count as private
        other = Start(arguments, home, copy=True, stay=True)
        for _ in range(arguments.rounds):
            found.setdefault("bundle itself", []).append(Start(arguments, home, copy=False).figures)
            found.setdefault("copy", []).append(Start(arguments, home, copy=True).figures)
        other.end()
    print(
        f"{'':14} {'load, s':>8} {'to first chunk, s':>18} {'CPU, s':>7} {'private, MB':>12} {'peak, MB':>9} "
        f"{'chunk, ms':>10}"
    )
    for name, figures in found.items():
        median = {key: statistics.median(figure[key] for figure in figures) for key in figures[0]}
        print(
            f"{name:14} {median['load_s']:8.2f} {median['first_chunk_s']:18.2f} {median['cpu_s']:7.2f} "
            f"{median['private_mb']:12.0f} {median['peak_mb']:9.0f} {median['chunk_ms']:10.1f}"
        )


if __name__ == "__main__":
    main()
