"""The process that runs one model: `python -m legato.lab.evaluate.worker MODEL THREADS`.

A model has a process of its own, so that the peak memory is its own. Jobs arrive as JSON lines on standard input; one
answer per job goes to standard output. `legato.lab.evaluate.process` is the other end.
"""

import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from legato.audio.manifest import excerpt
from legato.audio.source import open_audio
from legato.errors import LegatoError
from legato.lab.evaluate.recognition import Job, recognize
from legato.recognizer import load
from legato.types import Samples


class _Reader:
    """Reads audio, and keeps the last file, which is needed again for every chunk size."""

    def __init__(self) -> None:
        self._name = ""
        self._samples = np.zeros(0, np.float32)
        self._warnings: tuple[str, ...] = ()

    def read(self, job: Job, rate: int) -> tuple[Samples, tuple[str, ...]]:
        if job.audio != self._name:
            with open_audio(Path(job.audio)) as audio:
                self._samples = np.concatenate(list(audio))
                self._warnings = tuple(audio.warnings)
            self._name = job.audio
        return excerpt(self._samples, rate, job.offset, job.duration, job.audio), self._warnings


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, too, which then ends this process
    started = time.perf_counter()
    try:
        recognizer = load(Path(sys.argv[1]), threads=int(sys.argv[2]))
        # The first use of memory is slow; that must not count for the first utterance.
        with recognizer.stream(language=recognizer.languages[0]) as stream:
            stream.accept(np.zeros(recognizer.sample_rate, np.float32))
    except LegatoError as error:
        _reply({"error": str(error), "kind": type(error).__name__})
        return
    _reply({"load_seconds": round(time.perf_counter() - started, 3)})
    reader = _Reader()
    for line in sys.stdin:
        job = Job(**json.loads(line))
        try:
            samples, warnings = reader.read(job, recognizer.sample_rate)
            _reply(asdict(recognize(recognizer, job, samples, warnings)))
        except LegatoError as error:
            _reply({"error": str(error), "kind": type(error).__name__})


def _reply(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main()
