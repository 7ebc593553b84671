"""`legato evaluate`: error rates, latency and memory of models on data with transcripts."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from legato.cli.errors import FAILED, guarded, say, say_error
from legato.cli.extras import require
from legato.cli.options import ThreadsOption
from legato.errors import LegatoError

if TYPE_CHECKING:
    from rich.table import Table

    from legato.lab.evaluate.data import Data

#: Exit code when a language is significantly worse than in the baseline.
WORSE = 1
_SHOWN_PROBLEMS = 20


class Normalizer(StrEnum):
    """Ways to make texts comparable."""

    AUTO = "auto"
    WHISPER = "whisper"
    NONE = "none"


@guarded
def evaluate(
    *,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MANIFEST...",
            help="NeMo manifests (JSON lines: audio_filepath, text, lang), or folders of audio with NAME.txt beside "
            "NAME.wav; a subfolder named de or de-DE tells the language.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the reports; an interrupted run continues.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Name or folder of a model; give it again for more. Default: the best at hand."),
    ] = None,
    chunk_ms: Annotated[str, typer.Option(help="Chunk sizes, such as 80,320,1120.")] = "320",
    language: Annotated[
        str,
        typer.Option(help="manifest: the data's language is given; auto: the model finds it; manifest,auto: both."),
    ] = "manifest",
    default_language: Annotated[
        str | None, typer.Option(metavar="L", help="Language of utterances that do not say.")
    ] = None,
    fleurs: Annotated[str | None, typer.Option(metavar="L,L", help="FLEURS languages, such as en_us,de_de.")] = None,
    fleurs_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Local copy of FLEURS. Default: from the hub (HF_ENDPOINT).")
    ] = None,
    fleurs_split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Utterances of each language at most.")] = None,
    split_by: Annotated[
        str | None, typer.Option(metavar="KEY", help="Key of the manifests by whose value rates are split, too.")
    ] = None,
    normalizer: Annotated[
        Normalizer,
        typer.Option(
            help="auto: Whisper's English and basic normalisers, with vowel signs kept; whisper: exactly those; none."
        ),
    ] = Normalizer.AUTO,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="REPORT", help="An earlier report.json: exit code 1 when a language got worse."),
    ] = None,
    threads: ThreadsOption = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what an earlier run recognised.")] = False,
) -> None:
    """Measure error rates, latency and memory of models on data with transcripts.

    Writes report.json, report.md, report.html and utterances.jsonl. Exit codes: 0 done; 1 a language is significantly
    worse than in the baseline; 2 something was left out, or nothing could be done.
    """
    if not sources and not fleurs:
        raise typer.BadParameter("give a manifest, a folder, or --fleurs.", param_hint="MANIFEST...")
    if fleurs_split not in {"train", "dev", "test"}:
        raise typer.BadParameter(f"{fleurs_split!r}: give train, dev or test.", param_hint="--fleurs-split")
    conditions = [(chunk, mode) for chunk in _chunks(chunk_ms) for mode in _modes(language)]
    require("Evaluating", "evaluate")
    from legato.cli.output import make_folder
    from legato.lab.evaluate import baseline as gate
    from legato.lab.evaluate import report as reports
    from legato.lab.evaluate.data import finish
    from legato.lab.evaluate.models import open_models
    from legato.lab.evaluate.run import Condition, run
    from legato.lab.evaluate.scored import score
    from legato.lab.normalize import Choice
    from legato.runtime.session import default_threads

    make_folder(output)
    models = open_models(model or [None])
    earlier = gate.read_baseline(baseline) if baseline is not None else None
    data = _read(sources or [], fleurs, fleurs_dir, fleurs_split, output, limit, default_language, split_by)
    data = finish(data, limit)
    chosen = [Condition(chunk, mode) for chunk, mode in conditions]
    used = threads or default_threads()
    with _progress() as progress:
        outcome = run(
            models, data.utterances, chosen, threads=used, folder=output, restart=restart, progress=progress
        )  # fmt: skip
    scored, empty = score(outcome.results, Choice(normalizer))
    outcome.problems[:0] = data.problems
    outcome.problems += empty
    _say_problems([str(problem) for problem in outcome.problems])
    if not scored:
        raise LegatoError("Nothing could be scored; see the reasons above.")
    if outcome.reused:
        say(f"{outcome.reused} of {len(outcome.results)} recognitions are of an earlier run (--restart forgets them).")
    named = [str(path) for path in sources or []]
    named += [f"FLEURS {name} ({fleurs_split})" for name in (fleurs or "").split(",") if name]
    settings = {
        "data": named,
        "chunk_ms": list(dict.fromkeys(chunk for chunk, _ in conditions)),
        "language": list(dict.fromkeys(mode for _, mode in conditions)),
        "limit": limit,
        "split_by": split_by,
        "normalizer": str(normalizer),
        "threads": used,
    }
    read = len(data.utterances) + len(data.problems)
    report = reports.build(
        scored, outcome, models=models, conditions=chosen, choice=Choice(normalizer), read=read, settings=settings
    )
    from legato.lab.evaluate.files import write_reports

    lines = [item.line() for item in scored]
    worse = []
    if earlier is not None:
        write_reports(output, report, lines)  # they are there even where nothing can be compared
        compared = gate.compare(report, earlier)
        report["baseline"] = {
            "path": str(baseline),
            "created": earlier.get("created"),
            "about": gate.ABOUT,
            "comparisons": [entry.values() for entry in compared],
        }
        worse = [entry for entry in compared if entry.verdict == "worse"]
    write_reports(output, report, lines)
    _print(report)
    say(f"{output / 'report.html'}")
    for entry in worse:
        say_error(
            f"{entry.language} is significantly worse than in the baseline ({entry.model}, {entry.chunk_ms} ms, "
            f"language {'found' if entry.mode == 'auto' else 'given'}): {entry.headline.upper()} "
            f"{100 * entry.old:.2f} % -> {100 * entry.new:.2f} %, p = {entry.p_worse:.4f}."
        )
    if worse:
        raise typer.Exit(WORSE)
    if outcome.problems:
        raise typer.Exit(FAILED)


def _read(
    sources: Sequence[Path],
    fleurs: str | None,
    fleurs_dir: Path | None,
    split: str,
    output: Path,
    limit: int | None,
    default_language: str | None,
    split_by: str | None,
) -> "Data":
    from legato.lab.evaluate.data import Data
    from legato.lab.evaluate.source import read_source

    data = Data()
    for source in sources:
        data.add(read_source(source, language=default_language, split_by=split_by))
    languages = [name.strip() for name in (fleurs or "").split(",") if name.strip()]
    if languages:
        from legato.lab.evaluate.fleurs import read_fleurs

        data.add(read_fleurs(languages, audio=output / "audio", folder=fleurs_dir, split=split, limit=limit))
    return data


def _chunks(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or any(number < 80 or number % 80 for number in numbers):
        raise typer.BadParameter(
            f"{text!r}: give 80, 160, 320, 560 or 1120, several with commas between.", param_hint="--chunk-ms"
        )
    return list(dict.fromkeys(numbers))


def _modes(text: str) -> "list[Any]":
    modes = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(modes) <= {"manifest", "auto"}:
        raise typer.BadParameter(f"{text!r}: give manifest, auto, or manifest,auto.", param_hint="--language")
    return modes


def _say_problems(problems: Sequence[str]) -> None:
    for problem in problems[:_SHOWN_PROBLEMS]:
        say_error(problem)
    if len(problems) > _SHOWN_PROBLEMS:
        say_error(f"and {len(problems) - _SHOWN_PROBLEMS} more; all are in the report.")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from legato.cli.progress import work_bar

    with work_bar() as update:
        yield update


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from legato.lab.evaluate.tables import resources

    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=140)
    for model in report["models"]:
        for mode in report["settings"]["language"]:
            table = _rates_table(report, model, mode, intervals=True)
            if console.measure(table).maximum > console.width:
                table = _rates_table(report, model, mode, intervals=False)
            console.print(table)
    console.print(_conditions_table(report))
    profile = Table(*resources(report)[0], title="resources", title_justify="left")
    for row in resources(report)[1]:
        profile.add_row(*row)
    console.print(profile)
    counts = report["counts"]
    console.print(
        f"{counts['scored']} utterances scored, {counts['left_out']} left out of {counts['read']}. Rates in %, lower "
        "is better. First, final: latency of the first and the last token, p50 / p95 in seconds of audio."
    )


def _rates_table(report: dict[str, Any], model: dict[str, Any], mode: str, *, intervals: bool) -> "Table":
    """Languages down, chunk sizes across: headline rates of one model in one mode; all rates of a single chunk size."""
    from rich.table import Table

    from legato.lab.evaluate.tables import has_words, language_name, mode_name, percent

    chunks = report["settings"]["chunk_ms"]
    kinds = ("wer", "cer", "raw_wer", "raw_cer") if len(chunks) == 1 else ()
    name = " ".join(filter(None, (model["label"], model["precision"], model["recipe"])))
    table = Table(title=f"{name}, language {mode_name(mode)}", title_justify="left")
    for column in ("language", "utt.", "rate", *(f"{chunk} ms" for chunk in chunks)):
        table.add_column(column, no_wrap=True)
    for kind in kinds:
        table.add_column(kind.replace("_", " ").replace("wer", "WER").replace("cer", "CER"), no_wrap=True)
    rows: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for cell in report["cells"]:
        if (cell["model"], cell["mode"]) == (model["label"], mode):
            rows.setdefault((cell["language"], cell["subset"]), {})[cell["chunk_ms"]] = cell
    for (language, subset), cells in rows.items():
        some = next(iter(cells.values()))
        rates = (_rate(cells.get(chunk), intervals=intervals) for chunk in chunks)
        there = [kind for kind in kinds if has_words(language) or kind.endswith("cer")]
        more = (percent(some[kind]["rate"]) if kind in there and some[kind] else "–" for kind in kinds)
        table.add_row(language_name(language, subset), str(some["utterances"]), some["headline"].upper(), *rates, *more)
    return table


def _conditions_table(report: dict[str, Any]) -> "Table":
    """Models and conditions down: what is said of all languages together."""
    from rich.table import Table

    from legato.lab.evaluate.cells import ALL
    from legato.lab.evaluate.tables import mean_rate, mode_name, percent, spread

    table = Table(title="all languages together", title_justify="left")
    for column in ("model", "chunk", "language", "mean", "raw WER", "found", "first", "final", "RTF"):
        table.add_column(column, no_wrap=column != "model")
    pooled = [cell for cell in report["cells"] if cell["language"] == ALL] or report["cells"]
    for cell in pooled:
        accuracy = cell["language_accuracy"]
        table.add_row(
            cell["model"],
            f"{cell['chunk_ms']} ms",
            mode_name(cell["mode"]),
            percent(mean_rate(report, cell["model"], cell["chunk_ms"], cell["mode"])),
            percent(cell["raw_wer"] and cell["raw_wer"]["rate"]),
            "" if accuracy is None else f"{100 * accuracy['rate']:.1f} %",
            spread(cell["first_token_latency"]),
            spread(cell["final_latency"]),
            "–" if cell["rtf"] is None else f"{cell['rtf']:.3f}",
        )
    return table


def _rate(cell: dict[str, Any] | None, *, intervals: bool) -> str:
    rate = cell and cell[cell["headline"]]
    if not rate:
        return "–"
    text = f"{100 * rate['rate']:.2f}"
    return f"{text} ({100 * rate['low']:.1f}–{100 * rate['high']:.1f})" if intervals else text
