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


class Layout(StrEnum):
    """Kinds of graphs."""

    NATIVE = "native"
    REFERENCE = "reference"


@guarded
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A .nemo archive or a transformers folder.")],
    out: Annotated[Path, typer.Argument(help="The folder to make.")],
    precision: Annotated[Precision, typer.Option(help="Kind of weights.")] = Precision.INT8,
    layout: Annotated[
        Layout, typer.Option(help="native: what Legato runs best; reference: for apps made for the published model.")
    ] = Layout.NATIVE,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="How INT8 is done: reference, per-row, per-row-smooth, two-term, mixed, weight-only or "
            "weight-only-4bit. By default the best one."
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
    from legato.convert import convert as run

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
