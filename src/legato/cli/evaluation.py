"""What `legato evaluate` runs: read the data, recognize, score, compare with a baseline, report."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast

import typer

from legato.cli.console import say, say_error
from legato.cli.errors import FAILED
from legato.cli.evaluation_tables import print_report, print_verdict
from legato.cli.files import check_folder_name, make_folder
from legato.cli.progress import work_bar
from legato.errors import LegatoError
from legato.lab.evaluate import baseline as gate
from legato.lab.evaluate import report as reports
from legato.lab.evaluate.data import Data, duplicates, finish
from legato.lab.evaluate.files import write_reports
from legato.lab.evaluate.models import open_models
from legato.lab.evaluate.run import Condition, run
from legato.lab.evaluate.scored import score, shrunk
from legato.lab.evaluate.source import read_source
from legato.lab.normalize import Choice
from legato.runtime.cores import default_threads

#: Exit code when a language is significantly worse than in the baseline.
WORSE = 1
_SHOWN_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Fleurs:
    """The part of FLEURS that is evaluated.

    Attributes:
        languages: such as `de_de`; none for no FLEURS.
        folder: a local copy; None for the hub.
        split: train, dev or test.
    """

    languages: tuple[str, ...]
    folder: Path | None
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """An evaluation as it was asked for; see the options of the command."""

    sources: tuple[Path, ...]
    fleurs: Fleurs
    output: Path
    models: tuple[str | None, ...]
    chunks: tuple[int, ...]
    modes: tuple[str, ...]
    default_language: str | None
    limit: int | None
    split_by: str | None
    normalizer: str
    baseline: Path | None
    threads: int | None
    restart: bool

    def run(self) -> None:
        """Evaluate, write the reports, and print them.

        Raises:
            LegatoError: nothing could be scored.
            typer.BadParameter: the folder has the name of a file.
            typer.Exit: a language is worse than in the baseline (1), or something was left out (2).
        """
        check_folder_name(self.output, (".html", ".json", ".jsonl", ".md"), "--output")
        make_folder(self.output)
        models = open_models(list(self.models))
        earlier = gate.read_baseline(self.baseline) if self.baseline is not None else None
        data = finish(self._read(), self.limit)
        conditions = [
            Condition(chunk, cast('Literal["manifest", "auto"]', mode))
            for chunk, mode in product(self.chunks, self.modes)
        ]
        threads = self.threads or default_threads()
        with work_bar() as progress:
            outcome = run(
                models, data.utterances, conditions, threads=threads, folder=self.output, restart=self.restart,
                progress=progress,
            )  # fmt: skip
        choice = Choice(self.normalizer)
        scored, empty = score(outcome.results, choice)
        outcome.problems[:0] = data.problems
        outcome.problems += empty
        _say_problems([str(problem) for problem in outcome.problems])
        notes = duplicates(data.utterances) + shrunk(scored)
        _say_problems(notes)
        if not scored:
            raise LegatoError("Nothing could be scored; see the reasons above.")
        if outcome.reused:
            say(
                f"{outcome.reused} of {len(outcome.results)} results are from an earlier run (--restart discards them)."
            )
        report = reports.build(
            scored, outcome, models=models, conditions=conditions, choice=choice,
            read=len(data.utterances) + len(data.problems), settings=self._settings(threads), notes=notes,
        )  # fmt: skip
        lines = [item.line() for item in scored]
        write_reports(self.output, report, lines)
        print_report(report)  # before the comparison, which may fail
        say(f"{self.output / 'report.html'}")
        worse: list[gate.Comparison] = []
        if earlier is not None:
            compared = gate.compare(report, earlier)
            report["baseline"] = {
                "path": str(self.baseline),
                "created": earlier.get("created"),
                "about": gate.ABOUT,
                "comparisons": [entry.values() for entry in compared],
            }
            worse = [entry for entry in compared if entry.verdict == "worse"]
            write_reports(self.output, report, lines)
            print_verdict(report["baseline"]["comparisons"])
        for entry in worse:
            _say_worse(entry)
        if worse:
            raise typer.Exit(WORSE)
        if outcome.problems:
            raise typer.Exit(FAILED)

    def _read(self) -> Data:
        data = Data()
        for source in self.sources:
            data.add(read_source(source, language=self.default_language, split_by=self.split_by))
        if self.fleurs.languages:
            from legato.lab.evaluate.fleurs import read_fleurs

            languages, audio = list(self.fleurs.languages), self.output / "audio"
            data.add(
                read_fleurs(
                    languages, audio=audio, folder=self.fleurs.folder, split=self.fleurs.split, limit=self.limit
                )
            )
        return data

    def _settings(self, threads: int) -> dict[str, Any]:
        """Return the settings as the report states them."""
        named = [str(path) for path in self.sources]
        named += [f"FLEURS {name} ({self.fleurs.split})" for name in self.fleurs.languages]
        return {
            "data": named,
            "chunk_ms": list(self.chunks),
            "language": list(self.modes),
            "limit": self.limit,
            "split_by": self.split_by,
            "normalizer": str(self.normalizer),
            "threads": threads,
        }


def _say_worse(entry: gate.Comparison) -> None:
    language = "detected" if entry.mode == "auto" else "given"
    say_error(
        f"{entry.language} is significantly worse than in the baseline ({entry.model}, {entry.chunk_ms} ms, language "
        f"{language}): {entry.headline.upper()} {100 * entry.old:.2f} % -> {100 * entry.new:.2f} %, "
        f"p = {entry.p_worse:.4f}."
    )


def _say_problems(problems: Sequence[str]) -> None:
    for problem in problems[:_SHOWN_PROBLEMS]:
        say_error(problem)
    if len(problems) > _SHOWN_PROBLEMS:
        say_error(f"and {len(problems) - _SHOWN_PROBLEMS} more; all are in the report.")
