"""The run: every model over every utterance in every condition, continued where an earlier run stopped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from legato.errors import ChunkSizeError, EvaluationError, LanguageError, LegatoError
from legato.lab.evaluate.data import Problem, Utterance
from legato.lab.evaluate.journal import Journal, key_of
from legato.lab.evaluate.models import Model
from legato.lab.evaluate.process import Worker
from legato.lab.evaluate.recognition import Job, Recognition
from legato.model.languages import AUTO

Mode = Literal["manifest", "auto"]
#: Called with the model's label, the number of recognitions done (earlier runs included), and their total.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Condition:
    """One way to run the models.

    Attributes:
        chunk_ms: chunk size.
        mode: `manifest`: the language is given; `auto`: the model finds it.
    """

    chunk_ms: int
    mode: Mode


@dataclass(frozen=True)
class Result:
    """The recognition of an utterance by a model in a condition."""

    model: Model
    condition: Condition
    utterance: Utterance
    recognition: Recognition


@dataclass
class Outcome:
    """Everything that a run produced.

    Attributes:
        results: by model, utterance, condition.
        problems: what was left out.
        load_seconds: model label -> seconds; only of models that were loaded in this run.
        reused: number of results that an earlier run had produced.
    """

    results: list[Result]
    problems: list[Problem]
    load_seconds: dict[str, float]
    reused: int = 0


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
    """Recognize everything that is not in the journal yet.

    Args:
        models, utterances, conditions: every combination is run.
        threads: threads of the encoder.
        folder: folder of the journal, which makes it possible to continue an interrupted run.
        restart: ignore and delete the journal of earlier runs.
        progress: called after every utterance.
    """
    outcome = Outcome([], [], {})
    total, done = len(models) * len(utterances) * len(conditions), 0
    with Journal(folder, restart=restart) as journal:
        for model in models:
            with _Runner(model, threads, journal, outcome) as runner:
                for utterance in utterances:
                    runner.run(utterance, conditions)
                    done += len(conditions)
                    if progress:
                        progress(model.label, done, total)
    return outcome


class _NoDetectionError(LegatoError):
    """The model has no prompt `auto`."""


class _Runner:
    """Runs one model. Its process starts when the first recognition is needed."""

    def __init__(self, model: Model, threads: int, journal: Journal, outcome: Outcome) -> None:
        self._model = model
        self._threads = threads
        self._journal = journal
        self._outcome = outcome
        self._worker: Worker | None = None
        self._impossible: set[Condition] = set()

    def __enter__(self) -> "_Runner":
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close()

    def run(self, utterance: Utterance, conditions: Sequence[Condition]) -> None:
        """Run all conditions. An utterance counts in all of them or in none, so that they can be compared."""
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
                if problem not in self._outcome.problems:  # every model reports the same
                    self._outcome.problems.append(problem)
                return
            results.append(Result(self._model, condition, utterance, recognition))
        self._outcome.results += results

    def _recognition(self, utterance: Utterance, condition: Condition) -> Recognition:
        prompt = self._prompt(utterance, condition)
        job = Job(str(utterance.audio), utterance.offset, utterance.duration, prompt, condition.chunk_ms)
        key = key_of(self._model, self._threads, utterance, job)
        known = self._journal.get(key)
        if known is not None:
            self._outcome.reused += key in self._journal.earlier  # a recording may be in this run twice
            return known
        if self._worker is None:
            self._worker = Worker(self._model.bundle.path, self._threads)
            self._outcome.load_seconds[self._model.label] = self._worker.load_seconds
        recognition = self._worker.recognize(job)
        self._journal.add(key, recognition)
        return recognition

    def _prompt(self, utterance: Utterance, condition: Condition) -> str:
        if utterance.language is None:
            if condition.mode == "manifest":
                raise LanguageError("its language is not given. Add lang to the line, or give --default-language.")
            prompt = AUTO
        else:
            # In auto mode, too: a language that the model does not have is not evaluated.
            prompt = self._model.prompt(utterance.language)
        if condition.mode == "manifest":
            return prompt
        if AUTO not in self._model.bundle.prompts:
            raise _NoDetectionError(f"The model {self._model.label} cannot detect the language: it has no 'auto'.")
        return AUTO
