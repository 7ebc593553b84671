"""Runs one model over utterances in a process of its own, so that the peak of its memory is its own.

Jobs come as JSON lines on standard input, an answer to each goes to standard output. `Worker` is the other end.
"""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from legato import errors
from legato.audio.source import open_audio
from legato.errors import AudioError, EvaluationError, LegatoError
from legato.lab.machine import peak_rss
from legato.recognizer import Recognizer, load
from legato.types import Final, Partial, Samples

#: Speech is where a frame of 20 ms is at most so many dB below the loudest one.
SPEECH_DB = 35
_FRAME_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Job:
    """What to recognise and how; `language` is a prompt of the model, `auto` included."""

    audio: str
    offset: float | None
    duration: float | None
    language: str
    chunk_ms: int


@dataclass(frozen=True, slots=True)
class Recognition:
    """What came of a job. Times are seconds of audio from its start, unless said otherwise.

    Attributes:
        text: the text.
        detected: the language that the model named; the one asked for where it named none; None in auto mode then.
        tokens: (id, encoder frame) of every token.
        duration: of the audio.
        speech_start, speech_end: where the energy says that speech begins and ends; None in silence.
        first_token, last_token: audio that had been heard when the first and the last token of the text were known.
        seconds: of work on the whole utterance, chunk by chunk, decoding of the file not counted.
        finish_seconds: of work after the last sample.
        peak_rss_mb: of the process up to here, in 10**6 bytes; None where the system does not say.
        warnings: what was wrong with the file but did not stop us.
    """

    text: str
    detected: str | None
    tokens: tuple[tuple[int, int], ...]
    duration: float
    speech_start: float | None
    speech_end: float | None
    first_token: float | None
    last_token: float | None
    seconds: float
    finish_seconds: float
    peak_rss_mb: float | None
    warnings: tuple[str, ...] = ()


class Worker:
    """A process that has loaded a model. To be used with `with`.

    Attributes:
        load_seconds: it needed to open the model.
    """

    def __init__(self, model: Path, threads: int) -> None:
        """Start the process and wait until the model is loaded.

        Raises:
            LegatoError: the model cannot be loaded.
        """
        command = [sys.executable, "-m", "legato.lab.evaluate.worker", str(model), str(threads)]
        # A pipe could fill up.
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed in close
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, encoding="utf-8"
        )
        try:
            answer = self._answer()
        except BaseException:
            self.close()
            raise
        self.load_seconds: float = answer["load_seconds"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # it ended before it had read everything
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def recognize(self, job: Job) -> Recognition:
        """Do a job.

        Raises:
            LegatoError: of the kind that the recogniser raised.
            EvaluationError: the process died.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer that is missing will say it
            self._process.stdin.write(json.dumps(asdict(job)) + "\n")
            self._process.stdin.flush()
        answer = self._answer()
        answer["tokens"] = tuple((number, frame) for number, frame in answer["tokens"])
        answer["warnings"] = tuple(answer["warnings"])
        return Recognition(**answer)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._said.seek(0)
            said = self._said.read().strip().splitlines() or ["it said nothing"]
            raise EvaluationError(
                f"the process that runs the model died (exit code {code}): {said[-1]}. What was done is kept: the same "
                "command continues."
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["kind"])(answer["error"])
        return answer


def recognize(recognizer: Recognizer, job: Job, samples: Samples, warnings: tuple[str, ...]) -> Recognition:
    """Run an utterance through a live stream, chunk by chunk, as a user would hear it."""
    first_token = last_token = None
    started = time.perf_counter()
    with recognizer.stream(language=job.language, chunk_ms=job.chunk_ms) as stream:
        events = stream.accept(samples)
        heard = time.perf_counter()
        events += stream.finish()
    ended = time.perf_counter()
    tags = recognizer.bundle.language_tags
    for event in events:
        if isinstance(event, Partial) and any(token.id not in tags for token in event.tokens):
            first_token = event.time if first_token is None else first_token
            last_token = event.time
    final = events[-1]
    assert isinstance(final, Final)
    transcript = final.transcript
    start, end = speech_bounds(samples, recognizer.sample_rate)
    peak = peak_rss()
    return Recognition(
        text=transcript.text,
        detected=transcript.language,
        tokens=tuple((token.id, token.frame) for token in transcript.tokens),
        duration=transcript.duration,
        speech_start=start,
        speech_end=end,
        first_token=first_token,
        last_token=last_token,
        seconds=round(ended - started, 5),
        finish_seconds=round(ended - heard, 5),
        peak_rss_mb=None if peak is None else round(peak / 1e6, 1),
        warnings=warnings,
    )


def speech_bounds(samples: Samples, rate: int) -> tuple[float | None, float | None]:
    """Where speech begins and ends, in seconds, judged by energy alone; two None in silence."""
    size = round(rate * _FRAME_SECONDS)
    padded = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    energy = np.square(padded, dtype=np.float64).mean(axis=1)
    if not energy.size or energy.max() < 1e-10:
        return None, None
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-SPEECH_DB / 10))
    end = min((int(loud[-1]) + 1) * _FRAME_SECONDS, len(samples) / rate)
    return round(int(loud[0]) * _FRAME_SECONDS, 3), round(end, 3)


class _Reader:
    """Reads audio and remembers the last file, which comes again with another chunk size."""

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
        if job.offset is None:
            return self._samples, self._warnings
        first = round(job.offset * rate)
        last = None if job.duration is None else first + round(job.duration * rate)
        samples = self._samples[first:last]
        if not len(samples):
            seconds = len(self._samples) / rate
            raise AudioError(f"{job.audio}: it has {seconds:.2f} s; there is nothing at {job.offset:g} s.")
        return samples, self._warnings


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, too, and ends us
    started = time.perf_counter()
    try:
        recognizer = load(Path(sys.argv[1]), threads=int(sys.argv[2]))
        # Memory that is touched for the first time is slow: that is not the first utterance's fault.
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
