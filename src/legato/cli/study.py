"""`legato study`: what INT8 costs a model, and where the loss comes from."""

from pathlib import Path
from typing import Annotated

import typer

from legato.cli.console import say
from legato.cli.errors import FAILED, guarded
from legato.cli.extras import require
from legato.cli.options import DEFAULTS, AllThreadsOption, ChunkOption
from legato.errors import LegatoError
from legato.files import write_atomically, write_text_atomically


@guarded
def study(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A .nemo archive, a .gguf file or a folder of transformers.")
    ],
    *,
    manifest: Annotated[
        Path,
        typer.Option(
            metavar="MANIFEST", help="Recordings: a NeMo manifest, JSON lines with audio_filepath, text and lang."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for study.json, study.md and study.png.")
    ] = Path("study"),
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RECIPE",
            help="INT8 recipe whose groups and layers are studied, see below; may be repeated. Default: the best one.",
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(metavar="N,N-N", help="Encoder layers to study one by one, such as 0,5,20-23. Default: all."),
    ] = None,
    skip_layers: Annotated[bool, typer.Option("--skip-layers", help="Study no layers.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Utterances, taken evenly from the manifest. Default: all."),
    ] = None,
    chunk_ms: ChunkOption = DEFAULTS.chunk_ms,
    language: Annotated[
        str | None,
        typer.Option(
            "--language", "-l", metavar="LANG",
            help="Language of all recordings instead of the manifest's; auto detects it.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="Recordings for calibration, as in 'legato convert'.")
    ] = None,
    threads: AllThreadsOption = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the bootstrap.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted study.")] = False,
) -> None:  # fmt: skip
    """Find out what INT8 costs a model, and where.

    Each part of the model is quantized alone and compared with FP32 on the same speech.
    """
    require("A study", "convert", "evaluate")
    from legato.cli.files import check_folder_name
    from legato.cli.study_tables import print_study, progress
    from legato.convert.names import current_recipe
    from legato.lab.study import DEFAULT_RECIPE, Plan, as_markdown, conclude, draw, investigate

    check_folder_name(output, (".json", ".md", ".png"), "--output")
    plan = Plan(
        checkpoint=checkpoint, manifest=manifest, output=output,
        recipes=tuple(current_recipe(name, say) for name in recipe or [DEFAULT_RECIPE]),
        layers=() if skip_layers else None if layers is None else _layers(layers),
        limit=limit, chunk_ms=chunk_ms, language=language, calibration=calibration, threads=threads, seed=seed,
        resume=resume,
    )  # fmt: skip
    with progress() as update:
        found = investigate(plan, update)
    conclusion = conclude(found)
    try:
        found.save(output / "study.json", conclusion)
        write_text_atomically(output / "study.md", as_markdown(found, conclusion))
        with write_atomically(output / "study.png") as image:
            draw(found, image)
    except OSError as error:
        raise LegatoError(f"{output}: cannot be written to ({error}).") from error
    print_study(found, conclusion)
    notes = [f"{outcome.variant.key}: not possible: {outcome.impossible}" for outcome in found.impossible]
    for note in [*found.problems, *notes]:
        say(f"legato: {note}")
    # A recipe of the survey that does not suit this model is a result; one that was named is a failure.
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
