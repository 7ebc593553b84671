"""Number of live streams that `legato serve` holds in real time, and the delay of its texts, over WebSockets.

    python -m bench.serve_load [--model M] [--threads 2] [--workers N|auto] [--chunk-ms 320] [--seconds 30]
                               [--limit-ms 500] [--streams N,N...] [--most N] [--processes] [--output FILE.json]

Clients in a separate process send speech in real time, one utterance after the other, each on its own WebSocket. Two
delays are measured by the clients' clock:

- text: from sending the last audio that a text uses to the arrival of the text;
- final: from sending the end of an utterance to the arrival of its final event (the only one if the text is empty).

A number of streams is held if the 95th percentile of both is at most `--limit-ms` and nothing failed. The largest
number is found by doubling and bisection (`--streams` measures given numbers instead). Then that many streams run twice
on a server that admits no more: alone, and while half as many others try to connect and are refused.

`--processes` repeats the search with one server process per stream, one thread each, and then measures the largest
number that those held with both setups, alternately.

The clients use a share of the machine; `client_late_ms` is their own delay against their schedule.
"""

import argparse
import asyncio
import importlib
import json
import math
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from legato.lab.benchmark import sample_audio
from legato.lab.live_load import largest

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_PIECE_SECONDS = 0.1
_PATIENCE_SECONDS = 30.0
_ROUNDS = 3
_ROOM = 8


@dataclass
class Record:
    """What the clients recorded.

    Attributes:
        text_ms, final_ms: delays, see above.
        late_ms: delay of each sent piece against the schedule.
        seconds: duration of the whole task.
        refused: number of refused streams.
        failed: the errors of clients that gave up.
    """

    text_ms: list[float] = field(default_factory=list)
    final_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    refused: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """The task of a process of clients.

    Attributes:
        urls: one server per stream.
        query: options of the streams.
        seconds: seconds of speech per stream.
        utterance: seconds per utterance.
    """

    urls: list[str]
    query: str
    seconds: float
    utterance: float


class Server:
    """A `legato serve` in a separate process."""

    def __init__(self, model: str | None, threads: int, streams: int, workers: str) -> None:
        """Start a server that admits `streams` streams, and wait until it answers."""
        command = [sys.executable, "-m", "legato", "serve", "--port", "0", "--threads", str(threads)]
        command += ["--max-streams", str(streams), *(["--model", model] if model else [])]
        command += ["--workers", workers] if workers != "1" else []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("Legato serves "):
            raise SystemExit(f"The server did not start. Run it to see why: {' '.join(command)}")
        self.url = line.split()[2]

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(60)

    def cpu_seconds(self) -> float | None:
        """Return the processor time that it has used; None where the system does not report it."""
        try:
            stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self._pids()]
        except OSError:
            return None
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / 100

    def memory_mb(self) -> float | None:
        """Return its memory with its share of shared pages; None where the system does not report it."""
        try:
            rolls = [Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() for pid in self._pids()]
        except OSError:
            return None
        return sum(int(line.split()[1]) / 1000 for lines in rolls for line in lines if line.startswith("Pss:"))

    def _pids(self) -> list[int]:
        """Return the process and its children."""
        own = self._process.pid
        return [own, *map(int, Path(f"/proc/{own}/task/{own}/children").read_text().split())]

    def steps(self) -> tuple[float, float]:
        """Return the number of steps of its engine so far, and of the rows in them."""
        text = urllib.request.urlopen(f"{self.url}/metrics").read().decode()
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return float(values["legato_batch_rows_count"]), float(values["legato_batch_rows_sum"])


@contextmanager
def servers(model: str | None, threads: int, number: int, most: int, workers: str = "1") -> Iterator[list[Server]]:
    """Run `number` servers, each of which admits `most` streams."""
    with ExitStack() as stack:
        running = []
        for _ in range(number):
            running.append(Server(model, threads, most, workers))
            stack.callback(running[-1].stop)
        yield running


async def speak(task: Task, number: int, record: Record) -> None:
    """Run one client. It starts each utterance on schedule, even if the previous one is not finished."""
    loop = asyncio.get_running_loop()
    audio = (sample_audio(task.utterance) * 32767).astype("<i2").tobytes()
    size = round(16000 * _PIECE_SECONDS) * 2
    pieces = [audio[start : start + size] for start in range(0, len(audio), size)]
    begin = loop.time() + number % 32 / 32  # spread, as the streams of users are
    until = begin + task.seconds
    address = f"{task.urls[number].replace('http', 'ws', 1)}/v1/stream?{task.query}"
    async with asyncio.TaskGroup() as group:
        while begin < until:
            await asyncio.sleep(begin - loop.time())
            group.create_task(utter(address, pieces, begin, record))
            begin += len(pieces) * _PIECE_SECONDS


async def utter(address: str, pieces: Sequence[bytes], begin: float, record: Record) -> None:
    """Send an utterance, unless the server refuses it."""
    from websockets.asyncio.client import connect

    async with connect(address, max_queue=None, open_timeout=_PATIENCE_SECONDS) as socket:
        if await is_admitted(socket):
            await send_and_record(socket, pieces, begin, record)
        else:
            record.refused += 1


async def is_admitted(socket: "ClientConnection") -> bool:
    """Read the first answer of a server, and return whether it admits the stream."""
    answer = json.loads(await socket.recv())
    if answer["type"] != "ready" and answer["error"]["code"] not in {"server_busy", "overloaded"}:
        raise RuntimeError(answer["error"]["message"])
    return bool(answer["type"] == "ready")


async def send_and_record(socket: "ClientConnection", pieces: Sequence[bytes], begin: float, record: Record) -> None:
    """Send the pieces of an utterance, each when its last sample has been spoken, and record when its events arrive."""
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    ended = 0.0

    async def listen() -> None:
        async for message in socket:
            now, event = loop.time(), json.loads(message)
            if event["type"] == "partial":
                used = min(len(sent), math.ceil(event["time"] / _PIECE_SECONDS - 1e-6))
                record.text_ms.append(1000 * (now - sent[used - 1]))
            elif event["type"] == "final":
                record.final_ms.append(1000 * (now - ended))
            elif event["type"] == "error":
                raise RuntimeError(event["error"]["message"])

    async with asyncio.TaskGroup() as group:
        listener = group.create_task(listen())
        for count, piece in enumerate(pieces):
            due = begin + (count + 1) * _PIECE_SECONDS
            await asyncio.sleep(due - loop.time())
            sent.append(loop.time())
            record.late_ms.append(1000 * (sent[-1] - due))
            await socket.send(piece)
        ended = loop.time()
        await socket.send('{"type": "end"}')
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await listener


async def speak_all(task: Task) -> Record:
    """Run all clients of a task."""
    record = Record()
    started = time.monotonic()

    async def one(number: int) -> None:
        try:
            await speak(task, number, record)
        except Exception as error:
            record.failed.append(repr(error.exceptions[0] if isinstance(error, ExceptionGroup) else error))

    await asyncio.gather(*(one(number) for number in range(len(task.urls))))
    record.seconds = time.monotonic() - started
    return record


def clients() -> "subprocess.Popen[str]":
    """Start a process of clients, and wait until it is ready for a task."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--clients"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def begin(process: "subprocess.Popen[str]", task: Task) -> None:
    """Give a process of clients its task."""
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(task)))
    process.stdin.close()


def result_of(process: "subprocess.Popen[str]") -> Record:
    """Wait for a process of clients, and return what they recorded."""
    assert process.stdout is not None
    record = Record(**json.loads(process.stdout.read()))
    process.wait()
    return record


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Return p50, p95, p99 and the maximum; None without values."""
    if not values:
        return None
    found = {name: float(np.percentile(values, p)) for name, p in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100))}
    return {name: round(value, 1) for name, value in found.items()}


def difference(before: Sequence[float | None], after: Sequence[float | None], seconds: float) -> float | None:
    """Return the mean number of busy processors; None where the system does not report it."""
    pairs = zip(before, after, strict=True)
    times = [end - start for start, end in pairs if start is not None and end is not None]
    return round(sum(times) / seconds, 2) if times else None


def measure(
    running: Sequence[Server], streams: int, query: str, seconds: float, utterance: float, *, more: int = 0
) -> dict[str, Any]:
    """Run streams, spread evenly over the servers, and `more` others meanwhile; return the figures."""
    urls = [running[number % len(running)].url for number in range(streams)]
    speaking, asking = clients(), clients() if more else None
    before = [server.cpu_seconds() for server in running]
    steps = [server.steps() for server in running]
    begin(speaking, Task(urls, query, seconds, utterance))
    others = Record()
    if asking is not None:
        time.sleep(seconds / 4)
        begin(asking, Task([running[0].url] * more, query, seconds / 2, 1))
        others = result_of(asking)
    record = result_of(speaking)
    after = [server.cpu_seconds() for server in running]
    memory = [server.memory_mb() for server in running]
    count, rows = np.sum([server.steps() for server in running], axis=0) - np.sum(steps, axis=0)
    found: dict[str, Any] = {
        "streams": streams,
        "text_ms": percentiles(record.text_ms),
        "final_ms": percentiles(record.final_ms),
        "client_late_ms": percentiles(record.late_ms),
        "texts": len(record.text_ms),
        "finals": len(record.final_ms),
        "rows_a_step": round(float(rows / count), 2) if count else None,
        "refused": record.refused,
        "failed": record.failed,
        "server_cpus": difference(before, after, record.seconds),
        "server_memory_mb": None if None in memory else round(sum(value or 0 for value in memory)),
    }
    if more:
        found |= {"others": more, "others_refused": others.refused, "others_admitted": len(others.final_ms)}
    return found


def is_held(found: dict[str, Any], limit_ms: float) -> bool:
    """Return whether the streams of a measurement were held in real time."""
    late = [found[name]["p95"] for name in ("text_ms", "final_ms") if found[name]]
    return bool(late) and max(late) <= limit_ms and not found["failed"] and not found["refused"]


def show(what: str, found: dict[str, Any], limit_ms: float) -> None:
    """Print a measurement on standard error."""
    held = "held" if is_held(found, limit_ms) else "not held"
    print(f"{what}: {held}: {json.dumps({k: v for k, v in found.items() if v})}", file=sys.stderr, flush=True)


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the measurements that the command line asks for."""
    query = f"chunk_ms={arguments.chunk_ms}&language={arguments.language}"
    results: dict[str, Any] = {"arguments": {key: str(value) for key, value in vars(arguments).items()}}

    def serving(streams: int, apart: bool) -> AbstractContextManager[list[Server]]:
        # Room for utterances that start before the previous ones are finished.
        if apart:
            return servers(arguments.model, 1, streams, _ROOM)
        return servers(arguments.model, arguments.threads, 1, _ROOM * streams, arguments.workers)

    def search(apart: bool) -> int:
        name = "processes" if apart else "server"
        runs: list[dict[str, Any]] = results.setdefault(name, [])

        def holds(streams: int) -> bool:
            with serving(streams, apart) as running:
                measure(running, streams, query, 3, 3)  # warm-up
                runs.append(measure(running, streams, query, arguments.seconds, arguments.utterance))
            show(f"{name}, {streams}", runs[-1], arguments.limit_ms)
            return is_held(runs[-1], arguments.limit_ms)

        if arguments.streams:
            return max((number for number in arguments.streams if holds(number)), default=0)
        return largest(holds, arguments.most)

    held = results["held_by_server"] = search(False)
    if held:
        with servers(arguments.model, arguments.threads, 1, held, arguments.workers) as running:
            for more in (0, max(1, held // 2)):
                found = measure(running, held, query, arguments.seconds, arguments.seconds, more=more)
                results.setdefault("at_the_limit", []).append(found)
                show(f"at the limit, {more} more", found, arguments.limit_ms)
    if arguments.processes:
        number = results["held_by_processes"] = search(True)
        if number:
            with serving(number, True) as several, serving(number, False) as one:
                for _ in range(_ROUNDS):
                    for name, running in (("processes", several), ("server", one)):
                        found = measure(running, number, query, arguments.seconds / 2, arguments.utterance)
                        results.setdefault("side_by_side", []).append({"by": name, **found})
                        show(f"side by side, {name}", found, arguments.limit_ms)
    return results


def main() -> None:
    """Run from the command line."""
    if sys.argv[1:] == ["--clients"]:
        importlib.import_module("websockets.asyncio.client")  # before the time of the first utterance
        print("ready", flush=True)
        json.dump(asdict(asyncio.run(speak_all(Task(**json.load(sys.stdin))))), sys.stdout)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", default="1")
    parser.add_argument("--chunk-ms", type=int, default=320)
    parser.add_argument("--language", default="en")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--utterance", type=float, default=6)
    parser.add_argument("--limit-ms", type=float, default=500)
    parser.add_argument("--streams", type=lambda text: [int(number) for number in text.split(",")])
    parser.add_argument("--most", type=int, default=256)
    parser.add_argument("--processes", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    results = json.dumps(compare(arguments), indent=1)
    if arguments.output:
        arguments.output.write_text(results + "\n")
    else:
        print(results)


if __name__ == "__main__":
    main()
