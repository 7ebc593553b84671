"""`legato transcribe`: files, folders or standard input to text."""

from typing import Annotated

import typer

from legato.cli.errors import guarded
from legato.cli.extras import require
from legato.cli.model import Model, open_model
from legato.cli.options import (
    DEFAULT_VAD,
    DEFAULTS,
    BeamOption,
    ChunkOption,
    ConfidenceOption,
    EndpointOption,
    LanguageOption,
    ModelOption,
    NGramOption,
    NGramWeightOption,
    PhraseOption,
    RawChannelsOption,
    RawEncodingOption,
    RawRateOption,
    ThreadsOption,
    VadOption,
    choice,
    stream_options,
)
from legato.options import StreamOptions

#: The keys of `legato.text.formats.WRITERS`, which takes time to import.
FORMATS = ("txt", "json", "jsonl", "srt", "vtt", "ass", "tsv", "ctm", "words")


@guarded
def transcribe(
    *,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Audio or video files, folders or addresses (https://...); - is standard input: a file, or raw 16-bit "
            "16 kHz mono PCM.",
        ),
    ],
    model: ModelOption = None,
    language: LanguageOption = DEFAULTS.language,
    chunk_ms: ChunkOption = DEFAULTS.chunk_ms,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", "-f", metavar="FORMAT", **choice(*FORMATS, styled=True),
            help=f"Format of the result: {', '.join(FORMATS)}; may be repeated with --output. Subtitles may have a "
            "style: srt:columns=37,lines=1,speed=15,lead=0.3, vtt:words. Default: txt.",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--output-template", metavar="TEXT", help="A line per segment, such as '{start:.2f} {text}'."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", "--output-dir", metavar="PATH",
            help="Folder that gets a file per input, or a file such as film.srt; - is standard output.",
        ),
    ] = None,
    channels: Annotated[
        str,
        typer.Option(
            metavar="mix|split|N", help="Average the channels, transcribe each, or use only channel N (from 0)."
        ),
    ] = "mix",
    track: Annotated[
        str | None,
        typer.Option(metavar="N|LANG|all", help="Audio track of a video: its number (from 0) or language, or all."),
    ] = None,
    raw_encoding: RawEncodingOption = None,
    raw_rate: RawRateOption = None,
    raw_channels: RawChannelsOption = None,
    endpoint: EndpointOption = None,
    vad: VadOption = DEFAULT_VAD,
    phrase: PhraseOption = None,
    beam: BeamOption = DEFAULTS.beam,
    lm: NGramOption = None,
    lm_weight: NGramWeightOption = DEFAULTS.lm_weight,
    confidence: ConfidenceOption = DEFAULTS.confidence,
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
    from legato.cli.job import Batch, Files, Live, raw_format, read_job

    if on_ray:
        require("legato transcribe --ray", "ray")
    asked = stream_options(
        language, chunk_ms, endpoint, vad, phrase, beam=beam, lm=lm, lm_weight=lm_weight, confidence=confidence
    )
    job = read_job(
        files, asked, formats=formats or (), template=template, output=output, channels=channels,
        track=track, raw=raw_format(raw_encoding, raw_rate, raw_channels),
        phrases=phrase or (), recursive=recursive, jobs=jobs, threads=threads, overwrite=overwrite,
        on_ray=on_ray,
    )  # fmt: skip
    job.destination.prepare()
    match job:
        case Live():
            from legato.cli.standard_input import check_input, transcribe_live

            check_input(job)
            transcribe_live(job, *_opened(model, threads, asked))
        case Files():
            from legato.cli.file_by_file import check_files, transcribe_files

            check_files(job)
            transcribe_files(job, *_opened(model, threads, asked))
        case Batch():
            from legato.cli.batch.command import transcribe_batch

            transcribe_batch(job, *_opened(model, threads, asked))


def _opened(name: str | None, threads: int | None, options: StreamOptions) -> tuple[Model, StreamOptions]:
    """Load the model and compile the options; what the model cannot do is reported here, once for all files."""
    model = open_model(name, threads)
    compiled = options.compiled(model.recognizer.bundle)
    with model.recognizer.stream(compiled):
        pass
    return model, compiled
