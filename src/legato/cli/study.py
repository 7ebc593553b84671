"""`legato study`: what INT8 costs a model, and where."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from legato.cli.errors import FAILED, guarded, say
from legato.cli.extras import require
from legato.errors import LegatoError

if TYPE_CHECKING:
    from legato.lab.study import Study
    from legato.lab.study.run import Progress

#: Columns of a terminal that hold the whole table, and one without character errors.
_WIDE, _ROOMY = 140, 108


@guarded
def study(
    checkpoint: Annotated[
        Path, typer.Argument(help="A .nemo archive or a transformers folder, as 'convert' takes it.")
    ],
    *,
    manifest: Annotated[
        Path, typer.Option(help="Recordings: a NeMo manifest, JSON lines with audio_filepath, text and lang.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for study.json, study.md and study.png.")] = Path("study"),
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            help="INT8 recipe whose groups and layers are studied; may be given again. Default: the best one."
        ),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Encoder layers to study one by one, such as 0,5,20-23. Default: all.")
    ] = None,
    skip_layers: Annotated[bool, typer.Option("--skip-layers", help="Study no layers.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use so many utterances, evenly from the manifest. Default: all.")
    ] = None,
    chunk_ms: Annotated[int, typer.Option(help="Chunk size: 80, 160, 320, 560 or 1120.")] = 320,
    language: Annotated[
        str | None, typer.Option(help="Language of all recordings instead of the manifest's; 'auto' finds it.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Recordings that calibrate recipes, as for 'convert'.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. Default: the cores at hand, at most 4.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a study that was interrupted.")] = False,
) -> None:
    """Find out what INT8 costs a model, and where the loss comes from."""
    require("A study", "convert", "evaluate")
    from legato.convert.names import current_recipe
    from legato.lab.study import DEFAULT_RECIPE, Plan, as_markdown, conclude, draw, investigate

    plan = Plan(
        checkpoint=checkpoint,
        manifest=manifest,
        output=output,
        recipes=tuple(current_recipe(name, say) for name in recipe or [DEFAULT_RECIPE]),
        layers=() if skip_layers else None if layers is None else _layers(layers),
        limit=limit,
        chunk_ms=chunk_ms,
        language=language,
        calibration=calibration,
        threads=threads,
        seed=seed,
        resume=resume,
    )
    with _progress() as progress:
        found = investigate(plan, progress)
    conclusion = conclude(found)
    try:
        found.save(output / "study.json", conclusion)
        (output / "study.md").write_text(as_markdown(found, conclusion), "utf-8")
        draw(found, output / "study.png")
    except OSError as error:
        raise LegatoError(f"{output}: cannot be written to ({error}).") from error
    _print(found, conclusion)
    notes = [f"{outcome.variant.key}: not possible: {outcome.impossible}" for outcome in found.impossible]
    for note in [*found.problems, *notes]:
        say(f"legato: {note}")
    # That a recipe of the survey does not suit this model is a result; what was asked for by name is not.
    if found.problems or any(outcome.variant.section != "recipes" for outcome in found.impossible):
        raise typer.Exit(FAILED)


def _layers(text: str) -> tuple[int, ...]:
    """`0,5,20-23` -> 0, 5, 20, 21, 22, 23."""
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            low, high = 1, 0
        if low > high:
            raise typer.BadParameter(f"{text!r}: give layers such as 0,5,20-23.", param_hint="--layers")
        found |= dict.fromkeys(range(low, high + 1))
    return tuple(found)


def _progress() -> "AbstractContextManager[Progress]":
    """A bar on a terminal, else a line a variant."""
    if sys.stderr.isatty():
        from legato.cli.progress import work_bar

        return work_bar()
    last = ""

    def line(what: str, done: int, total: int) -> None:
        nonlocal last
        if what != last:
            last = what
            say(f"{done / total:4.0%} {what}")

    return nullcontext(line)


def _print(found: "Study", conclusion: list[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from legato.lab.study.report import LEGEND, tables

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    # What does not fit is in study.md: first the character errors go, then cells wrap.
    shown = None if console.width >= _WIDE else -2
    roomy = console.width >= _ROOMY
    words = sum(result.words for result in found.fp32)
    console.print(f"{found.model}: {len(found.fp32)} utterances, {words} words", markup=False)
    for section in tables(found):
        table = Table(title=section.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        table.add_column(section.columns[0], min_width=24 if roomy else None)
        for name in section.columns[1:shown]:
            table.add_column(name, justify="right", min_width=(22 if "FP32" in name else 8) if roomy else None)
        for row in section.rows:
            table.add_row(*row[:shown])
        console.print(table)
    console.print(LEGEND, markup=False)
    for sentence in conclusion:
        console.print(f"- {sentence}", markup=False)
