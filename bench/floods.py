"""What a client notices while another one floods the server: the delay of its texts and of health checks.

    python -m bench.floods [--attacks NAME,NAME...] [--seconds 10] [--workers N] [--output FILE.json]

A client sends speech in real time to `legato serve` with the embedded model, first alone and then during each attack of
`tests/support/floods.py`. Attackers run in a process of their own with low priority, as if on another machine.
"""

import argparse
import contextlib
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.serve_load import Record, Server, Task, begin, clients, percentiles, result_of
from tests.support.floods import ATTACKS, attacked

_PAUSE_SECONDS = 3.0


def measure(server: Server, name: str | None, seconds: float) -> dict[str, Any]:
    """Return what a client notices during an attack, or without one."""
    with attacked(name, server.url) if name else contextlib.nullcontext():
        time.sleep(_PAUSE_SECONDS)
        speaking = clients()
        begin(speaking, Task([server.url], "chunk_ms=320&language=en", seconds, 3))
        health: list[float] = []
        while speaking.poll() is None:
            began = time.monotonic()
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{server.url}/health", timeout=60).read()
            health.append(1000 * (time.monotonic() - began))
            time.sleep(0.1)
        record: Record = result_of(speaking)
        return {
            "attack": name,
            "text_ms": percentiles(record.text_ms),
            "final_ms": percentiles(record.final_ms),
            "health_ms": percentiles(health),
            "server_memory_mb": round(server.memory_mb() or 0),
            "refused": record.refused,
            "failed": record.failed,
        }


def main() -> None:
    """Measure the attacks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", type=lambda text: text.split(","), default=list(ATTACKS))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--workers", default="1")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    results = []
    server = Server("embedded", 1, 64, arguments.workers)
    try:
        for name in (None, *arguments.attacks, None):
            results.append(measure(server, name, arguments.seconds))
            print(json.dumps(results[-1]), flush=True)
    finally:
        server.stop()
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
