"""The run: every model over every utterance in every condition, continued where an earlier run stopped."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import onnxruntime

from legato.errors import ChunkSizeError, EvaluationError, LanguageError, LegatoError
from legato.files import sha256_of
from legato.lab.evaluate.data import Problem, Utterance
from legato.lab.evaluate.worker import Job, Recognition, Worker
from legato.lab.scoring import base
from legato.model.bundle import AUTO, Bundle, file_sha256, open_bundle
from legato.model.registry import resolve
from legato.version import __version__

Mode = Literal["manifest", "auto"]
#: Told what is done of how many recognitions, those of an earlier run included.
Progress = Callable[[str, int, int], None]

#: Recognitions of this and earlier runs, so that a run can be continued and extended.
RECOGNIZED = "recognized.jsonl"


@dataclass(frozen=True)
class Model:
    """A model of the run.

    Attributes:
        label: its name in the report, unique there.
        bundle: the opened folder.
        recipe: how it was made INT8; None where the bundle does not say.
        sha256: of all its files.
        size: bytes of all its files.
    """

    label: str
    bundle: Bundle
    recipe: str | None
    sha256: str
    size: int

    def prompt(self, language: str) -> str:
        """The model's name for a language: with the region if it has that prompt, else without, else another region.

        Raises:
            LanguageError: the model does not have it.
        """
        try:
            self.bundle.prompt_slot(language)
        except LanguageError:
            prompts = self.bundle.prompts
            same = sorted(name for name in prompts if base(name) == base(language))
            if not same:
                raise
            return base(language) if base(language) in prompts else same[0]
        return language


@dataclass(frozen=True)
class Condition:
    """One way to run the models: chunk size, and whether the language is given or found."""

    chunk_ms: int
    mode: Mode


@dataclass(frozen=True)
class Result:
    """What a model made of an utterance in a condition."""

    model: Model
    condition: Condition
    utterance: Utterance
    recognition: Recognition


@dataclass
class Outcome:
    """Everything that a run gave.

    Attributes:
        results: by model, utterance, condition.
        problems: what was left out.
        load_seconds: model label -> seconds; only of models that were loaded in this run.
        reused: results that an earlier run had made.
    """

    results: list[Result]
    problems: list[Problem]
    load_seconds: dict[str, float]
    reused: int = 0


def open_models(names: Sequence[str | None]) -> list[Model]:
    """Open the models of a run.

    Raises:
        BundleError: there is no such model, or it is broken.
    """
    models: list[Model] = []
    for name in names:
        resolved = resolve(name)
        bundle = open_bundle(resolved.path)
        config = json.loads((resolved.path / "config.json").read_text("utf-8"))
        recipe = (config.get("legato") or {}).get("recipe")
        label = resolved.path.resolve().name if resolved.source == "path" else resolved.name
        taken = {model.label for model in models}
        if label in taken:
            label = str(resolved.path)
        number = 1
        unique = label
        while unique in taken:
            number += 1
            unique = f"{label} ({number})"
        files = sorted(path for path in resolved.path.iterdir() if path.is_file() and not path.name.startswith("."))
        size = sum(path.stat().st_size for path in files)
        models.append(Model(unique, bundle, recipe, _fingerprint(files, config), size))
    return models


def run(
    models: Sequence[Model],
    utterances: Sequence[Utterance],
    conditions: Sequence[Condition],
    *,
    threads: int,
    folder: Path,
    restart: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Recognise everything that is not recognised yet.

    Args:
        models, utterances, conditions: every combination is run.
        threads: of the encoder.
        folder: recognitions are kept in it as they come, so that an interrupted run can be continued.
        restart: forget the recognitions of earlier runs.
        progress: told about every recognition.
    """
    outcome = Outcome([], [], {})
    path = folder / RECOGNIZED
    if restart:
        path.unlink(missing_ok=True)
    known = _read_known(path)
    total, done = len(models) * len(utterances) * len(conditions), 0
    with path.open("a", encoding="utf-8", newline="\n") as keep:
        for model in models:
            runner = _Runner(model, threads, known, keep, outcome)
            with runner:
                for utterance in utterances:
                    runner.utterance(utterance, conditions)
                    done += len(conditions)
                    if progress:
                        progress(model.label, done, total)
    return outcome


class _NoDetectionError(LegatoError):
    """The model has no prompt `auto`."""


class _Runner:
    """Runs one model; starts its process when there is something to do."""

    def __init__(
        self, model: Model, threads: int, known: dict[str, Recognition], keep: TextIO, outcome: Outcome
    ) -> None:
        self._model = model
        self._threads = threads
        self._known = known
        self._keep = keep
        self._outcome = outcome
        self._worker: Worker | None = None
        self._impossible: set[Condition] = set()

    def __enter__(self) -> "_Runner":
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close()

    def utterance(self, utterance: Utterance, conditions: Sequence[Condition]) -> None:
        """Run all conditions; an utterance counts in all of them or in none, so that they can be compared."""
        results = []
        for condition in conditions:
            if condition in self._impossible:
                continue
            try:
                recognition = self._recognition(utterance, condition)
            except (ChunkSizeError, _NoDetectionError) as error:
                self._impossible.add(condition)
                place = f"model {self._model.label}, {condition.chunk_ms} ms, {condition.mode}"
                self._outcome.problems.append(Problem(place, "model", str(error)))
                continue
            except EvaluationError as error:
                raise EvaluationError(f"{self._model.label}, {utterance.place}: {error}") from None
            except LanguageError as error:
                self._outcome.problems.append(Problem(utterance.place, "language", str(error)))
                return
            except LegatoError as error:
                problem = Problem(utterance.place, "audio", str(error))
                if problem not in self._outcome.problems:  # it is the same with every model
                    self._outcome.problems.append(problem)
                return
            results.append(Result(self._model, condition, utterance, recognition))
        self._outcome.results += results

    def _recognition(self, utterance: Utterance, condition: Condition) -> Recognition:
        prompt = AUTO
        if utterance.language is not None:
            prompt = self._model.prompt(utterance.language)  # in auto mode, too: what it does not have is not judged
        elif condition.mode == "manifest":
            raise LanguageError("its language is not given. Add lang to the line, or --default-language.")
        if condition.mode == AUTO:
            prompt = AUTO
            if AUTO not in self._model.bundle.prompts:
                raise _NoDetectionError(f"The model {self._model.label} cannot find the language: it has no 'auto'.")
        job = Job(str(utterance.audio), utterance.offset, utterance.duration, prompt, condition.chunk_ms)
        key = _key(self._model, self._threads, utterance, job)
        if key in self._known:
            self._outcome.reused += 1
            return self._known[key]
        if self._worker is None:
            self._worker = Worker(self._model.bundle.path, self._threads)
            self._outcome.load_seconds[self._model.label] = self._worker.load_seconds
        recognition = self._worker.recognize(job)
        self._known[key] = recognition
        self._keep.write(json.dumps({"key": key, **asdict(recognition)}, ensure_ascii=False) + "\n")
        self._keep.flush()
        return recognition


def _key(model: Model, threads: int, utterance: Utterance, job: Job) -> str:
    """Names all that a recognition depends on."""
    parts = [__version__, onnxruntime.__version__, os.cpu_count(), threads, model.sha256, utterance.sha256]
    parts += [job.offset, job.duration, job.language, job.chunk_ms]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _read_known(path: Path) -> dict[str, Recognition]:
    """Recognitions of earlier runs. A line that was being written when the run ended is cut off."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    known = {}
    for entry in _entries(data):
        try:
            key = entry.pop("key")
            entry["tokens"] = tuple((number, frame) for number, frame in entry["tokens"])
            entry["warnings"] = tuple(entry["warnings"])
            known[key] = Recognition(**entry)
        except (KeyError, TypeError, ValueError):
            continue  # written by another version: it is recognised again
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
    return known


def _entries(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def _fingerprint(files: Sequence[Path], config: dict[str, Any]) -> str:
    """SHA-256 over names and contents; of files whose SHA-256 is recorded and was checked, that one counts."""
    recorded = (config.get("legato") or {}).get("files") or {}
    digest = hashlib.sha256()
    for file in files:
        known = recorded.get(file.name) or {}
        digest.update(f"{file.name} {known.get('sha256') or sha256_of(file)}\n".encode())
    return digest.hexdigest()
