"""`legato transcribe`: files or live PCM to text."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from legato.cli.errors import guarded
from legato.cli.extras import require
from legato.cli.options import (
    DEFAULTS,
    BeamOption,
    ChunkOption,
    EndpointOption,
    LanguageOption,
    ModelOption,
    NGramOption,
    NGramWeightOption,
    PhraseOption,
    ThreadsOption,
    Vad,
    VadOption,
    stream_options,
)


class Format(StrEnum):
    """Formats of results."""

    TXT = "txt"
    JSON = "json"
    JSONL = "jsonl"
    SRT = "srt"
    VTT = "vtt"
    TSV = "tsv"
    CTM = "ctm"
    WORDS = "words"


@guarded
def transcribe(
    *,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Audio or video files, folders or addresses (https://...); - is raw 16-bit 16 kHz mono PCM.",
        ),
    ],
    model: ModelOption = None,
    language: LanguageOption = DEFAULTS.language,
    chunk_ms: ChunkOption = DEFAULTS.chunk_ms,
    formats: Annotated[
        list[Format] | None,
        typer.Option(
            "--format", "-f", metavar="FORMAT",
            help=f"Format of the result: {', '.join(Format)}; may be repeated with --output. Default: txt.",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--output-template", metavar="TEXT", help="A line per segment, such as '{start:.2f} {text}'."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "--output-dir", "-o", metavar="DIR", help="Write a file per input into this folder."),
    ] = None,
    channels: Annotated[
        str,
        typer.Option(
            metavar="mix|split|N", help="Average the channels, transcribe each, or use only channel N (from 0)."
        ),
    ] = "mix",
    endpoint: EndpointOption = None,
    vad: VadOption = Vad.NONE,
    phrase: PhraseOption = None,
    beam: BeamOption = DEFAULTS.beam,
    lm: NGramOption = None,
    lm_weight: NGramWeightOption = DEFAULTS.lm_weight,
    threads: ThreadsOption = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Include the folders inside the folders.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=64, metavar="N", help="Files at once, each into its own file. Default for folders: 4."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With folders or --jobs: do files again that have a result.")
    ] = False,
    on_ray: Annotated[
        bool, typer.Option("--ray", help="Use the Ray cluster at RAY_ADDRESS, or Ray on this machine.")
    ] = False,
) -> None:  # fmt: skip
    """Recognize speech in files, or live on standard input."""
    from legato.cli.job import Batch, Files, Live, read_job
    from legato.cli.model import open_model

    if on_ray:
        require("legato transcribe --ray", "ray")
    asked = stream_options(language, chunk_ms, endpoint, vad, phrase, beam=beam, lm=lm, lm_weight=lm_weight)
    job = read_job(
        files, asked, formats=formats or (), template=template, output=output, channels=channels,
        phrases=phrase or (), recursive=recursive, jobs=jobs, threads=threads, overwrite=overwrite,
        on_ray=on_ray,
    )  # fmt: skip
    job.destination.prepare()
    opened = open_model(model, threads)
    options = asked.compiled(opened.recognizer.bundle)
    with opened.recognizer.stream(options):
        pass  # what the model cannot do is reported once, not for every file
    match job:
        case Live():
            from legato.cli.standard_input import transcribe_live

            transcribe_live(job, opened, options)
        case Files():
            from legato.cli.file_by_file import transcribe_files

            transcribe_files(job, opened, options)
        case Batch():
            from legato.cli.batch.command import transcribe_batch

            transcribe_batch(job, opened, options)
