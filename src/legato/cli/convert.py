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
        Path, typer.Argument(metavar="CHECKPOINT", help="A .nemo archive, a .gguf file or a folder of transformers.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    precision: Annotated[
        str,
        typer.Option(metavar="TYPE", **choice("fp32", "fp16", "int8"), help="Type of the weights: fp32, fp16 or int8."),
    ] = "int8",
    layout: Annotated[
        str,
        typer.Option(
            metavar="LAYOUT",
            help="native, the fastest in Legato; published or litert, for apps made for the published models in ONNX "
            "or LiteRT.",
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
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Report of legato evaluate, for the model card (README.md) of the folder."),
    ] = None,
) -> None:
    """Convert a checkpoint to a model folder."""
    require("Converting", "convert", *(["litert"] if layout == "litert" else []))
    from legato.cli.files import check_folder_name
    from legato.cli.progress import steps_bar
    from legato.convert import LAYOUTS
    from legato.convert import convert as run
    from legato.convert.names import current_layout, current_recipe

    layout = current_layout(layout, say)
    recipe = recipe and current_recipe(recipe, say)
    if layout not in LAYOUTS:
        raise typer.BadParameter(f"{layout!r}: give {' or '.join(LAYOUTS)}.", param_hint="--layout")
    check_folder_name(out, (".onnx", ".ort", ".tflite", ".nemo", ".gguf", ".zip", ".tar", ".gz"), "OUT")
    with steps_bar() as update:
        done = run(
            checkpoint, out, precision=precision, layout=layout, recipe=recipe, calibration=calibration,
            report=report, progress=update,
        )  # fmt: skip
    for line in done.lines():
        say(line)
    print(out)
