"""`legato calibrate`: make probabilities of a model's confidences."""

from pathlib import Path
from typing import Annotated

import typer

from legato.cli.console import say, say_error
from legato.cli.errors import FAILED, guarded
from legato.cli.extras import require
from legato.cli.options import DEFAULTS, ThreadsOption, choice, chunk_sizes


@guarded
def calibrate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name or folder of a model; its folder must be writable.")
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="MANIFEST...", help="Recordings with transcripts, as for 'legato evaluate'."),
    ],
    *,
    chunk_ms: Annotated[
        str, typer.Option(metavar="MS,MS", help="Chunk sizes in milliseconds whose words count.")
    ] = str(DEFAULTS.chunk_ms),
    default_language: Annotated[
        str | None, typer.Option(metavar="LANG", help="Language of the utterances that state none.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Utterances per language. Default: all.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="METHOD", **choice("auto", "temperature", "isotonic"),
            help="The kind of map: temperature, isotonic, or auto, which is the one that predicts held-out sentences "
            "better.",
        ),
    ] = "auto",
    normalizer: Annotated[
        str, typer.Option(metavar="NAME", **choice("auto", "whisper", "none"), help="As for 'legato evaluate'.")
    ] = "auto",
    threads: ThreadsOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
) -> None:  # fmt: skip
    """Make probabilities of the confidences of a model.

    '--confidence calibrated' then gives the probability that a word is right. Half of the sentences are predicted from
    the other half, which shows what the calibration is worth on speech that it has not seen.
    """
    chunks = chunk_sizes(chunk_ms)
    require("Calibrating", "evaluate")
    from legato.cli.calibration import Recordings, print_fitted, recognized
    from legato.lab.calibration import METHODS, fit
    from legato.lab.evaluate.models import open_models
    from legato.model.calibration import write_calibration

    [opened] = open_models([model])
    recordings = Recordings(tuple(sources), tuple(chunks), default_language, limit, normalizer)
    sentences, problems = recognized(opened, recordings, threads)
    for problem in problems:
        say_error(problem)
    fitted = fit(sentences, next((each for each in METHODS if each == method), None))
    print_fitted(fitted, named=method != "auto")
    if not dry_run:
        write_calibration(opened.bundle.path, fitted.calibration)
        say(f"Written into {opened.bundle.path}; use it with --confidence calibrated.")
    if problems:
        raise typer.Exit(FAILED)
