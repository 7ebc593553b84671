"""Speak prepared sentences with Kokoro-82M on a GPU, and store features.

    python -m training.small.kokoro_gpu --jobs jobs.jsonl.gz --voices voices.npy --model kokoro.onnx --data DATA
        --processes 6 --until SECONDS

``jobs.jsonl.gz`` and ``voices.npy`` are by :mod:`training.small.kokoro_jobs`. Each process speaks a share of the
sentences, and a second one beside it computes the features and writes shards of the kind ``wide``, numbered from 1000
on (the first process), 2000 on (the second), and so on, each with its phones. Needs PyTorch and ``onnx``, and none of
the synthesizers, audio libraries and codecs of the other steps; without PyAV and soxr, the lines are those without a
codec.
Ends after ``--until`` seconds, or when all sentences are spoken.
"""

import argparse
import gzip
import json
import multiprocessing
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from training.common.audio import SAMPLE_RATE, Audio, trim
from training.small.lines import changed
from training.small.shards import ShardWriter

Job = dict[str, Any]
Spoken: TypeAlias = "Queue[tuple[Job, Audio] | None]"  # a string: Python 3.11 cannot subscript it


def read_jobs(path: Path, process: int, processes: int) -> tuple[list[str], Iterator[Job]]:
    """Return the names of the voices, and the sentences of one process."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    return json.loads(lines[0])["voices"], (json.loads(line) for line in lines[1 + process :: processes])


class Complaints:
    """Prints each kind of error once."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = defaultdict(int)

    def add(self, error: Exception, text: str) -> None:
        """Count an error, and print it if it is the first of its kind."""
        kind = f"{type(error).__name__}: {str(error)[:80]}"
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            print(f"left out: {text}\n{''.join(traceback.format_exception(error))}", flush=True)


def speak(arguments: argparse.Namespace, process: int, deadline: float, output: Spoken) -> None:
    """Speak the sentences of one process, and send them on; a sentence that fails is left out."""
    try:
        _speak(arguments, process, deadline, output)
    finally:
        output.put(None)


def _speak(arguments: argparse.Namespace, process: int, deadline: float, output: Spoken) -> None:
    import torch

    from training.common.kokoro_torch import KokoroTorch

    torch.set_num_threads(1)
    kokoro = KokoroTorch(arguments.model, torch.device(arguments.device))
    voices = np.load(arguments.voices, mmap_mode="r")
    complaints = Complaints()
    _, jobs = read_jobs(arguments.jobs, process, arguments.processes)
    before: tuple[Job, torch.Tensor] | None = None
    start, count = time.monotonic(), 0
    for job in [*jobs, None]:
        spoken = None
        try:
            if job and time.time() < deadline:
                length = len(job["ids"]) - 2
                styles = [np.float32(share) * voices[int(voice), length] for voice, share in job["voice"].items()]
                spoken = job, kokoro.speak(job["ids"], np.sum(styles, axis=0), job["speed"])
            if before:  # its sound is ready by now: the device has since been waited for
                output.put((before[0], before[1].cpu().numpy()), timeout=60)
                count += 1
        except Exception as error:
            complaints.add(error, str(job and job["text"]))
        before = spoken
        if count and count % 500 == 0:
            rate = count / (time.monotonic() - start)
            print(f"process {process}: {count} sentences, {rate:.1f} a second", flush=True)
        if not spoken and (not job or time.time() >= deadline):
            break
    rate = count / (time.monotonic() - start)
    failed = dict(complaints.counts)
    print(f"process {process} ends: {count} sentences, {rate:.1f} a second, failed: {failed}", flush=True)


def store(arguments: argparse.Namespace, process: int, source: Spoken) -> None:
    """Write what one process has spoken as shards, each as soon as it is full, and what remains in the end."""
    generator = np.random.default_rng([arguments.seed, process])
    names, _ = read_jobs(arguments.jobs, process, arguments.processes)
    writers: dict[str, ShardWriter] = {}
    phones: dict[str, list[str]] = defaultdict(list)
    written: dict[str, int] = defaultdict(int)
    complaints = Complaints()

    def write(language: str) -> None:
        number = 1000 * (process + 1) + written[language]
        written[language] += 1
        path = arguments.data / "features" / f"{language}-wide-{number}"
        writers.pop(language).write(path)
        part = path.with_suffix(".phones.part")
        part.write_text(json.dumps(phones.pop(language), ensure_ascii=False), encoding="utf-8")
        part.rename(path.with_suffix(".phones.json"))

    while (item := source.get()) is not None:
        job, audio = item
        try:
            clip = trim(audio)
            if not np.isfinite(audio).all() or len(clip) < SAMPLE_RATE // 10 or not np.abs(clip).max() > 0:
                raise ValueError("no speech")
            clip = changed(clip * np.float32(0.5 / np.abs(clip).max()), generator)
            language = job["language"]
            writer = writers.setdefault(language, ShardWriter(language))
            writer.add(clip, job["text"], "kokoro " + "+".join(names[int(voice)] for voice in job["voice"]))
            phones[language].append(job["phones"])
            if len(phones[language]) == arguments.per_shard:
                write(language)
        except Exception as error:
            complaints.add(error, job["text"])
    for language in list(writers):
        if phones[language]:
            write(language)
    print(f"process {process}: shards {dict(written)}, left out: {dict(complaints.counts)}", flush=True)


def main() -> None:
    """Start the processes, and wait for them."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("jobs", "voices", "model", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--until", type=float, default=1e9, help="seconds after which no sentence is begun")
    parser.add_argument("--per-shard", type=int, default=80)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seed", type=int, default=80)
    arguments = parser.parse_args()
    deadline = time.time() + arguments.until
    context = multiprocessing.get_context("spawn")
    running = []
    queues: list[Spoken] = [context.Queue(maxsize=200) for _ in range(arguments.processes)]
    for process, queue in enumerate(queues):
        running.append(context.Process(target=speak, args=(arguments, process, deadline, queue)))
        running.append(context.Process(target=store, args=(arguments, process, queue)))
    for item in running:
        item.start()
    for item in running:
        item.join(max(1, deadline + 60 - time.time()))
        if item.is_alive():
            print("a process that does not end is stopped", flush=True)
            item.terminate()


if __name__ == "__main__":
    main()
