"""The parent's end of the process that runs a model (see `legato.lab.evaluate.worker`)."""

import contextlib
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from legato import errors
from legato.errors import EvaluationError
from legato.lab.evaluate.recognition import Job, Recognition


class Worker:
    """A process that has loaded a model. Use it as a context manager.

    Attributes:
        load_seconds: time to open the model.
    """

    def __init__(self, model: Path, threads: int) -> None:
        """Start the process and wait until the model is loaded.

        Raises:
            LegatoError: the model cannot be loaded.
        """
        command = [sys.executable, "-m", "legato.lab.evaluate.worker", str(model), str(threads)]
        # A file, because nobody reads a pipe while the process works, and it could fill up.
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - see close
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True, encoding="utf-8"
        )
        try:
            answer = self._answer()
        except BaseException:
            self.close()
            raise
        self.load_seconds: float = answer["load_seconds"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # the process ended before it had read everything
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def recognize(self, job: Job) -> Recognition:
        """Run a job.

        Raises:
            LegatoError: of the class that the recognizer raised.
            EvaluationError: the process died.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # _answer reports it
            self._process.stdin.write(json.dumps(asdict(job)) + "\n")
            self._process.stdin.flush()
        return Recognition.from_json(self._answer())

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._stderr.seek(0)
            lines = self._stderr.read().strip().splitlines() or ["it printed nothing"]
            raise EvaluationError(
                f"the process that runs the model died (exit code {code}): {lines[-1]}. Finished work is kept: run the "
                "same command again to continue."
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["kind"])(answer["error"])
        return answer
