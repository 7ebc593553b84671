"""Several processes of one driver at once: how code without batches uses more than one core.

python -m bench.peers.several COUNT bench.peers.drive_NAME ARGUMENT...
"""

import argparse
import json
import math
import subprocess
import sys
from typing import Any


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, help="number of processes")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="module of a driver, and its arguments")
    arguments = parser.parse_args()
    processes = [
        subprocess.Popen([sys.executable, "-m", *arguments.command], stdout=subprocess.PIPE, text=True)
        for _ in range(arguments.count)
    ]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit(1)
    runs: list[dict[str, Any]] = [json.loads(text.splitlines()[-1]) for text in outputs]
    # Chunks arrive evenly, so a process keeps up while it is not busy all the time. Only whole streams count.
    streams = sum(math.floor(1 / run["real_time_factor"]) for run in runs)
    print(json.dumps({**runs[0], "mode": "streams", "streams_in_real_time": streams, "runs": runs}))


if __name__ == "__main__":
    main()
