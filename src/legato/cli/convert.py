"""`legato convert`: a checkpoint to a model folder."""

import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from legato.cli.errors import guarded, say
from legato.cli.extras import require


class Precision(StrEnum):
    """Kinds of weights."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@guarded
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A .nemo archive or a transformers folder.")],
    out: Annotated[Path, typer.Argument(help="The folder to make.")],
    precision: Annotated[Precision, typer.Option(help="Kind of weights.")] = Precision.INT8,
    layout: Annotated[
        str,
        typer.Option(help="native: what Legato runs best; published: for applications made for the published model."),
    ] = "native",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Kind of INT8: dynamic-per-tensor, per-token, per-token-smooth, per-token-smooth-7bit, rotate, "
            "two-term, mixed, weight-only or weight-only-4bit. By default the best one."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Recordings that calibrate a recipe with 'smooth' or 'mixed': a NeMo manifest, JSON lines with "
            "audio_filepath and lang. By default the ones that Legato ships."
        ),
    ] = None,
) -> None:
    """Convert a checkpoint to a model folder."""
    require("Converting", "convert")
    from legato.convert import LAYOUTS
    from legato.convert import convert as run
    from legato.convert.names import current_layout, current_recipe

    layout = current_layout(layout, say)
    recipe = recipe and current_recipe(recipe, say)
    if layout not in LAYOUTS:
        raise typer.BadParameter(f"{layout!r}: choose {' or '.join(LAYOUTS)}.", param_hint="--layout")
    run = partial(run, checkpoint, out, precision=precision, layout=layout, recipe=recipe, calibration=calibration)
    if sys.stderr.isatty():
        from legato.cli.progress import steps_bar

        with steps_bar() as update:
            report = run(progress=update)
    else:
        report = run()
    for line in report.lines():
        say(line)
    print(out)
