"""How many live streams `legato serve` holds in real time, and how late its text is, through real WebSockets.

    python bench/serve_load.py [--model M] [--threads 2] [--chunk-ms 320] [--seconds 30] [--limit-ms 500]
                               [--streams N,N...] [--most N] [--processes] [--output FILE.json]

Clients in a process of their own send speech as fast as it is spoken, an utterance after the other, each on a WebSocket
of its own. Two delays are measured, by the clients' clock:

- text: from sending the last audio that a text uses until the text is there;
- final: from sending the end of an utterance until its final event is there (a model that says nothing has only this).

A number of streams is held when the 95th percentile of both is within `--limit-ms` and nothing failed. The largest one
is searched for by doubling and halving (`--streams` measures those numbers instead). Then as many streams as were held
run on a server that admits no more, twice: alone, and while half as many others try to get in and are refused.

`--processes` does the search again with one server process a stream, one thread each, and then measures the largest
number that those held with both, in turns.

The clients take their share of the machine, and `client_late_ms` says how far behind their own schedule they were.
"""

import argparse
import asyncio
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
class Heard:
    """What the clients noted.

    Attributes:
        text_ms, final_ms: delays, see above.
        late_ms: how long after its time each piece was sent.
        seconds: how long they spoke, all in all.
        refused: how often the server had no room.
        failed: why clients gave up.
    """

    text_ms: list[float] = field(default_factory=list)
    final_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    refused: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """What a process of clients shall do.

    Attributes:
        urls: a server for each stream.
        query: options of the streams.
        seconds: how long each speaks.
        utterance: seconds of each of its utterances.
    """

    urls: list[str]
    query: str
    seconds: float
    utterance: float


class Server:
    """A `legato serve` in a process of its own."""

    def __init__(self, model: str | None, threads: int, streams: int) -> None:
        """Start one that admits so many streams, and wait until it answers."""
        command = [sys.executable, "-m", "legato", "serve", "--port", "0", "--threads", str(threads)]
        command += ["--max-streams", str(streams), *(["--model", model] if model else [])]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said.startswith("Legato serves "):
            raise SystemExit(f"The server did not start; see what this says: {' '.join(command)}")
        self.url = said.split()[2]

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(60)

    def cpu_seconds(self) -> float | None:
        """Processor time that it has taken; None where the system does not say."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / 100

    def memory_mb(self) -> float | None:
        """Memory that it has, its share of what processes have in common; None where the system does not say."""
        try:
            lines = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return None
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:"))

    def steps(self) -> tuple[float, float]:
        """Steps of its engine so far, and rows in them."""
        text = urllib.request.urlopen(f"{self.url}/metrics").read().decode()
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return float(values["legato_batch_rows_count"]), float(values["legato_batch_rows_sum"])


@contextmanager
def servers(model: str | None, threads: int, number: int, most: int) -> Iterator[list[Server]]:
    """Run so many servers, each of which admits `most` streams."""
    with ExitStack() as stack:
        running = []
        for _ in range(number):
            running.append(Server(model, threads, most))
            stack.callback(running[-1].stop)
        yield running


async def speak(task: Task, number: int, heard: Heard) -> None:
    """Be one client, which begins an utterance when it is time, though the one before may not be done."""
    loop = asyncio.get_running_loop()
    audio = (sample_audio(task.utterance) * 32767).astype("<i2").tobytes()
    size = round(16000 * _PIECE_SECONDS) * 2
    pieces = [audio[start : start + size] for start in range(0, len(audio), size)]
    begin = loop.time() + number % 32 / 32  # they begin apart, as those of users would
    until = begin + task.seconds
    address = f"{task.urls[number].replace('http', 'ws', 1)}/v1/stream?{task.query}"
    async with asyncio.TaskGroup() as group:
        while begin < until:
            await asyncio.sleep(begin - loop.time())
            group.create_task(utter(address, pieces, begin, heard))
            begin += len(pieces) * _PIECE_SECONDS


async def utter(address: str, pieces: Sequence[bytes], begin: float, heard: Heard) -> None:
    """Speak an utterance, if there is room for it."""
    from websockets.asyncio.client import connect

    async with connect(address, max_queue=None, open_timeout=_PATIENCE_SECONDS) as socket:
        if await is_admitted(socket):
            await send_and_note(socket, pieces, begin, heard)
        else:
            heard.refused += 1


async def is_admitted(socket: "ClientConnection") -> bool:
    """Read the first answer of a server: whether it has room for the stream."""
    answer = json.loads(await socket.recv())
    if answer["type"] != "ready" and answer["error"]["code"] not in {"server_busy", "overloaded"}:
        raise RuntimeError(answer["error"]["message"])
    return bool(answer["type"] == "ready")


async def send_and_note(socket: "ClientConnection", pieces: Sequence[bytes], begin: float, heard: Heard) -> None:
    """Send the pieces of an utterance, each when its last sample was spoken, and note when its events come."""
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    ended = 0.0

    async def listen() -> None:
        async for message in socket:
            now, event = loop.time(), json.loads(message)
            if event["type"] == "partial":
                used = min(len(sent), math.ceil(event["time"] / _PIECE_SECONDS - 1e-6))
                heard.text_ms.append(1000 * (now - sent[used - 1]))
            elif event["type"] == "final":
                heard.final_ms.append(1000 * (now - ended))
            elif event["type"] == "error":
                raise RuntimeError(event["error"]["message"])

    async with asyncio.TaskGroup() as group:
        listener = group.create_task(listen())
        for count, piece in enumerate(pieces):
            due = begin + (count + 1) * _PIECE_SECONDS
            await asyncio.sleep(due - loop.time())
            sent.append(loop.time())
            heard.late_ms.append(1000 * (sent[-1] - due))
            await socket.send(piece)
        ended = loop.time()
        await socket.send('{"type": "end"}')
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await listener


async def speak_all(task: Task) -> Heard:
    """Be all clients of a task."""
    heard = Heard()
    started = time.monotonic()

    async def one(number: int) -> None:
        try:
            await speak(task, number, heard)
        except Exception as error:
            heard.failed.append(repr(error.exceptions[0] if isinstance(error, ExceptionGroup) else error))

    await asyncio.gather(*(one(number) for number in range(len(task.urls))))
    heard.seconds = time.monotonic() - started
    return heard


def clients(task: Task) -> "subprocess.Popen[str]":
    """Start a process of clients."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--clients"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(task)))
    process.stdin.close()
    return process


def said_by(process: "subprocess.Popen[str]") -> Heard:
    """Wait for a process of clients: what they noted."""
    assert process.stdout is not None
    heard = Heard(**json.loads(process.stdout.read()))
    process.wait()
    return heard


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Give p50, p95, p99 and the largest; None of nothing."""
    if not values:
        return None
    found = {name: float(np.percentile(values, p)) for name, p in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100))}
    return {name: round(value, 1) for name, value in found.items()}


def difference(before: Sequence[float | None], after: Sequence[float | None], seconds: float) -> float | None:
    """Processors that were busy on the average; None where the system does not say."""
    pairs = zip(before, after, strict=True)
    times = [end - start for start, end in pairs if start is not None and end is not None]
    return round(sum(times) / seconds, 2) if times else None


def measure(
    running: Sequence[Server], streams: int, query: str, seconds: float, utterance: float, *, more: int = 0
) -> dict[str, Any]:
    """Put streams on servers, spread evenly, and `more` others that come while those run; give what was seen."""
    urls = [running[number % len(running)].url for number in range(streams)]
    before = [server.cpu_seconds() for server in running]
    steps = [server.steps() for server in running]
    speaking = clients(Task(urls, query, seconds, utterance))
    others = Heard()
    if more:
        time.sleep(seconds / 4)
        others = said_by(clients(Task([running[0].url] * more, query, seconds / 2, 1)))
    heard = said_by(speaking)
    after = [server.cpu_seconds() for server in running]
    memory = [server.memory_mb() for server in running]
    count, rows = np.sum([server.steps() for server in running], axis=0) - np.sum(steps, axis=0)
    found: dict[str, Any] = {
        "streams": streams,
        "text_ms": percentiles(heard.text_ms),
        "final_ms": percentiles(heard.final_ms),
        "client_late_ms": percentiles(heard.late_ms),
        "texts": len(heard.text_ms),
        "finals": len(heard.final_ms),
        "rows_a_step": round(float(rows / count), 2) if count else None,
        "refused": heard.refused,
        "failed": heard.failed,
        "server_cpus": difference(before, after, heard.seconds),
        "server_memory_mb": None if None in memory else round(sum(value or 0 for value in memory)),
    }
    if more:
        found |= {"others": more, "others_refused": others.refused, "others_admitted": len(others.final_ms)}
    return found


def is_held(found: dict[str, Any], limit_ms: float) -> bool:
    """Whether the streams of a measurement were held in real time."""
    late = [found[name]["p95"] for name in ("text_ms", "final_ms") if found[name]]
    return bool(late) and max(late) <= limit_ms and not found["failed"] and not found["refused"]


def show(what: str, found: dict[str, Any], limit_ms: float) -> None:
    """Print a measurement on standard error."""
    held = "held" if is_held(found, limit_ms) else "not held"
    print(f"{what}: {held}: {json.dumps({k: v for k, v in found.items() if v})}", file=sys.stderr, flush=True)


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Do what was asked for on the command line."""
    query = f"chunk_ms={arguments.chunk_ms}&language={arguments.language}"
    results: dict[str, Any] = {"arguments": {key: str(value) for key, value in vars(arguments).items()}}

    def serving(streams: int, apart: bool) -> AbstractContextManager[list[Server]]:
        # Room for what begins before the one in front of it is done, however many those become.
        if apart:
            return servers(arguments.model, 1, streams, _ROOM)
        return servers(arguments.model, arguments.threads, 1, _ROOM * streams)

    def search(apart: bool) -> int:
        name = "processes" if apart else "server"
        runs: list[dict[str, Any]] = results.setdefault(name, [])

        def holds(streams: int) -> bool:
            with serving(streams, apart) as running:
                measure(running, streams, query, 3, 3)  # warms up
                runs.append(measure(running, streams, query, arguments.seconds, arguments.utterance))
            show(f"{name}, {streams}", runs[-1], arguments.limit_ms)
            return is_held(runs[-1], arguments.limit_ms)

        if arguments.streams:
            return max((number for number in arguments.streams if holds(number)), default=0)
        return largest(holds, arguments.most)

    held = results["held_by_server"] = search(False)
    if held:
        with servers(arguments.model, arguments.threads, 1, held) as running:
            for more in (0, max(1, held // 2)):
                found = measure(running, held, query, arguments.seconds, arguments.seconds, more=more)
                results.setdefault("at_the_limit", []).append(found)
                show(f"at the limit, {more} more", found, arguments.limit_ms)
    if arguments.processes:
        number = results["held_by_processes"] = search(True)
        if number:
            with serving(number, True) as many, serving(number, False) as one:
                for _ in range(_ROUNDS):
                    for name, running in (("processes", many), ("server", one)):
                        found = measure(running, number, query, arguments.seconds / 2, arguments.utterance)
                        results.setdefault("side_by_side", []).append({"by": name, **found})
                        show(f"side by side, {name}", found, arguments.limit_ms)
    return results


def main() -> None:
    """Run from the command line."""
    if sys.argv[1:] == ["--clients"]:
        json.dump(asdict(asyncio.run(speak_all(Task(**json.load(sys.stdin))))), sys.stdout)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=2)
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
