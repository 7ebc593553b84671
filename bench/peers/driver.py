"""Common code of the drivers: audio, clocks, memory, and the line of JSON that they print.

A driver runs in the environment of its peer, so this module needs only NumPy and nothing of Legato.
"""

import argparse
import json
import os
import resource
import sys
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE = 16000
#: Number of chunks at the start of a stream that do not count, because caches and memory fill up.
WARM_UP = 5
#: A piece that took less than this share of the median completed no chunk: the peer waits for more audio.
_WAITING = 0.2


@dataclass(frozen=True)
class Task:
    """The task of a driver.

    Attributes:
        model: folder or file of the model.
        audio: 16-bit mono WAV files at 16 kHz, joined to one recording.
        threads: threads of the peer.
        mode: `file` transcribes the recording at once; `stream` sends it in pieces of one chunk, as fast as possible.
        chunk_ms: chunk size, which is the right context.
        language: a locale, or `auto`.
    """

    model: Path
    audio: tuple[Path, ...]
    threads: int
    mode: str
    chunk_ms: int
    language: str


@dataclass(frozen=True)
class Outcome:
    """The result of a transcription.

    Attributes:
        symbols: number of emitted tokens.
        text: the text.
    """

    symbols: int
    text: str


class Peer(Protocol):
    """A loaded recognizer.

    Attributes:
        version: name and version.
        parts: milliseconds of parts of each chunk, if the driver can measure them: `encoder`, `mel`.
    """

    version: str
    parts: dict[str, list[float]]

    def file(self, samples: Samples) -> Outcome:
        """Transcribe a whole recording, float32[n] at 16 kHz."""
        ...

    def stream(self, pieces: Iterator[Samples]) -> Outcome:
        """Transcribe pieces. All work that a piece makes possible is done before the next one is taken."""
        ...


@dataclass
class Clock:
    """Yields pieces, and records the time spent on each."""

    seconds: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def pieces(self, samples: Samples, size: int) -> Iterator[Samples]:
        """Yield whole pieces of `size` samples."""
        for start in range(0, len(samples) - size + 1, size):
            before = time.perf_counter()
            yield samples[start : start + size]
            self.ends.append(time.perf_counter())
            self.seconds.append(self.ends[-1] - before)

    def chunks(self) -> list[int]:
        """Return the indices of the pieces that completed a chunk."""
        least = _WAITING * float(np.median(self.seconds))
        return [number for number, seconds in enumerate(self.seconds) if seconds >= least]


def read_wav(path: Path) -> Samples:
    """Return the samples of a 16-bit mono WAV file at 16 kHz."""
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            raise SystemExit(f"{path}: must be 16-bit mono at 16 kHz.")
        samples: Samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)
        return samples / np.float32(32768)


def peak_rss_mb() -> float:
    """Return the peak memory of this process, in 10**6 bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (most if sys.platform == "darwin" else most * 1024) / 1e6


def busy_seconds() -> float | None:
    """Return the CPU seconds of all processes and other guests of the host; None where they are not reported."""
    try:
        user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    except OSError:
        return None
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def parse(modes: Sequence[str] = ("file", "stream")) -> Task:
    """Return the task of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--mode", choices=modes, default="stream")
    parser.add_argument("--chunk-ms", type=int, default=320)
    parser.add_argument("--language", default="auto")
    parser.add_argument("audio", type=Path, nargs="+")
    found = parser.parse_args()
    return Task(found.model, tuple(found.audio), found.threads, found.mode, found.chunk_ms, found.language)


def run(task: Task, load: Callable[[Task], Peer]) -> None:
    """Run the task, and print the figures. `load` also imports the peer's library, which counts as load time."""
    samples = np.concatenate([read_wav(path) for path in task.audio])
    busy, own, started = busy_seconds(), time.process_time(), time.perf_counter()
    peer = load(task)
    loaded = time.perf_counter()
    figures = _stream(task, peer, samples, started) if task.mode == "stream" else _file(peer, samples)
    if busy is not None:
        others = (busy_seconds() or 0) - busy - (time.process_time() - own)
        figures["others_cores"] = round(max(0, others) / (time.perf_counter() - started), 3)
    report(task, {"version": peer.version, "load_seconds": round(loaded - started, 3), **figures})


def report(task: Task, figures: dict[str, object]) -> None:
    """Print a line of JSON: the task, the figures and the peak memory."""
    asked = {**asdict(task), "model": str(task.model), "audio": [str(path) for path in task.audio]}
    print(json.dumps({**asked, **figures, "peak_rss_mb": round(peak_rss_mb(), 1)}))


def _file(peer: Peer, samples: Samples) -> dict[str, object]:
    # The first second uses memory that was not touched before, which would not matter in a recording of minutes.
    peer.file(samples[:RATE])
    before = time.perf_counter()
    outcome = peer.file(samples)
    seconds = time.perf_counter() - before
    return {
        "file_seconds": round(seconds, 4),
        "real_time_factor": round(seconds * RATE / len(samples), 5),
        **_summary(outcome, len(samples)),
    }


def _stream(task: Task, peer: Peer, samples: Samples, started: float) -> dict[str, object]:
    clock = Clock()
    outcome = peer.stream(clock.pieces(samples, RATE * task.chunk_ms // 1000))
    chunks = clock.chunks()
    if len(chunks) <= WARM_UP:
        raise SystemExit("The audio is too short. Give more.")
    times = 1000 * np.array([clock.seconds[number] for number in chunks[WARM_UP:]])
    p50, p95 = np.percentile(times, (50, 95))
    return {
        "first_chunk_seconds": round(clock.ends[chunks[0]] - started, 3),
        "chunks": len(chunks),
        "chunk_ms_mean": round(float(times.mean()), 3),
        "chunk_ms_p50": round(float(p50), 3),
        "chunk_ms_p95": round(float(p95), 3),
        "real_time_factor": round(float(times.mean()) / task.chunk_ms, 5),
        **{
            f"{part}_ms_mean": round(float(np.mean(values[WARM_UP : len(chunks)])), 3)
            for part, values in peer.parts.items()
        },
        **_summary(outcome, len(samples)),
    }


def _summary(outcome: Outcome, samples: int) -> dict[str, object]:
    return {
        "audio_seconds": round(samples / RATE, 2),
        "symbols": outcome.symbols,
        "symbols_per_second": round(outcome.symbols * RATE / samples, 3),
        "text_start": outcome.text[:80],
    }
