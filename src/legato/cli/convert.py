"""`legato convert`: a checkpoint to a model folder."""

from pathlib import Path
from typing import Annotated

import typer

from legato.cli.console import say
from legato.cli.errors import guarded
from legato.cli.extras import require
from legato.cli.options import choice


@guarded
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A .nemo archive or a folder of transformers.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    precision: Annotated[
        str,
        typer.Option(metavar="TYPE", **choice("fp32", "fp16", "int8"), help="Type of the weights: fp32, fp16 or int8."),
    ] = "int8",
    layout: Annotated[
        str,
        typer.Option(
            metavar="LAYOUT", help="native, the fastest in Legato, or published, for apps made for the published model."
        ),
    ] = "native",
    recipe: Annotated[
        str | None, typer.Option(metavar="RECIPE", help="INT8 recipe, see below. Default: the best one for the layout.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST",
            help="Recordings for the recipes that are calibrated: a NeMo manifest, JSON lines with audio_filepath "
            "and lang. Default: those that Legato ships.",
        ),
    ] = None,
) -> None:
    """Convert a checkpoint to a model folder."""
    require("Converting", "convert")
    from legato.cli.progress import steps_bar
    from legato.convert import LAYOUTS
    from legato.convert import convert as run
    from legato.convert.names import current_layout, current_recipe

    layout = current_layout(layout, say)
    recipe = recipe and current_recipe(recipe, say)
    if layout not in LAYOUTS:
        raise typer.BadParameter(f"{layout!r}: give {' or '.join(LAYOUTS)}.", param_hint="--layout")
    with steps_bar() as update:
        report = run(
            checkpoint, out, precision=precision, layout=layout, recipe=recipe, calibration=calibration,
            progress=update,
        )  # fmt: skip
    for line in report.lines():
        say(line)
    print(out)
