"""`legato transcribe`: files or live PCM to text."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from legato.cli.errors import FAILED, INTERRUPTED, guarded, say, say_error
from legato.cli.extras import require
from legato.cli.options import ChunkOption, LanguageOption, ModelOption, PhraseOption, ThreadsOption, weighted
from legato.cli.segmenting import EndpointOption, Vad, VadOption, rules_of
from legato.errors import LegatoError, OutputError

if TYPE_CHECKING:
    from legato.audio.channels import Channels
    from legato.audio.source import Samples
    from legato.model.registry import ResolvedModel
    from legato.recognizer import Options, Recognizer
    from legato.types import Transcript

_LONG_SECONDS = 10.0


class Format(StrEnum):
    """Kinds of output."""

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
    language: LanguageOption = "auto",
    chunk_ms: ChunkOption = 320,
    formats: Annotated[
        list[Format] | None, typer.Option("--format", help="Kind of output, default txt; several with --output.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--output-template", metavar="TEXT", help="A line for each segment, as '{start:.2f} {text}'."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "--output-dir", metavar="DIR", help="Write a file for each input into this folder."),
    ] = None,
    channels: Annotated[
        str,
        typer.Option(
            metavar="mix|split|N", help="Average the channels, tell them apart, or hear only number N (0, 1)."
        ),
    ] = "mix",
    endpoint: EndpointOption = None,
    vad: VadOption = Vad.NONE,
    phrase: PhraseOption = None,
    beam: Annotated[
        int, typer.Option(min=1, max=64, help="Hypotheses kept by beam search; 1 is greedy, the quickest.")
    ] = 1,
    lm: Annotated[
        Path | None, typer.Option(metavar="FILE", help="N-gram over the model's pieces (ARPA), for --beam 4 or more.")
    ] = None,
    lm_weight: Annotated[float, typer.Option(min=0, max=2, help="Weight of the n-gram.")] = 0.3,
    threads: ThreadsOption = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Folders with all that is in them.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Files at once, each to a file of its own. Default for folders: 4."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do again what has a result (folders, --jobs).")
    ] = False,
    on_ray: Annotated[
        bool, typer.Option("--ray", help="Many files on the Ray cluster at RAY_ADDRESS, or with Ray here.")
    ] = False,
) -> None:
    """Recognise speech in files, or live on standard input."""
    from legato.cli.output import make_folder, partial_path, print_result, result_paths, write_result, writer_of
    from legato.model.registry import resolve
    from legato.recognizer import load

    if on_ray:
        require("legato transcribe --ray", "ray")
    heard = _channels(channels)
    several = len(files) > 1
    many = recursive or on_ray or jobs is not None or all(Path(file).is_dir() for file in files)
    if (several or many) and "-" in files:
        raise typer.BadParameter("- (standard input) cannot be combined with files.", param_hint="FILE...")
    if files == ["-"] and heard != "mix":
        raise typer.BadParameter("- (standard input) has one channel.", param_hint="--channels")
    if overwrite and not many:
        raise typer.BadParameter(
            "it is for folders and --jobs; other results are always written.", param_hint="--overwrite"
        )
    kinds: list[str] = [str(each) for each in dict.fromkeys(formats or [])]
    if template is not None:
        if kinds:
            raise typer.BadParameter("give --format or --output-template.", param_hint="--output-template")
        writer_of(template)
        kinds = [template]
    kinds = kinds or [Format.TXT]
    if len(kinds) > 1 and output is None and not many:
        raise typer.BadParameter("several formats need --output DIR.", param_hint="--format")
    kind = kinds[0]
    if several and not many and output is None and kind in {Format.SRT, Format.VTT, Format.TSV}:
        raise typer.BadParameter(f"{kind} of several files needs --output DIR.", param_hint="--format")
    rules = rules_of(endpoint, vad)
    if output is not None:
        make_folder(output)
    targets: list[list[Path]] = [[] for _ in files]
    if output is not None and not many:
        targets = [list(each) for each in zip(*(result_paths(files, output, each) for each in kinds), strict=True)]
    resolved = resolve(model)
    if model is None:
        say(_which(resolved))
    recognizer = load(resolved.path, threads=threads)
    options: Options = {
        "language": language,
        "chunk_ms": chunk_ms,
        "endpoint": rules,
        "phrases": recognizer.compile_phrases(weighted(phrase)),
        "beam": beam,
        "lm": recognizer.open_ngram(lm) if lm is not None else None,
        "lm_weight": lm_weight,
    }
    with recognizer.stream(**options):
        pass  # a language or chunk size that the model does not have is told once, not for every file
    name = recognizer.bundle.name if resolved.source == "path" else resolved.name
    if files == ["-"]:
        _live(recognizer, name, targets[0], kinds, options)
        return
    if many:
        from legato.cli.batch.local import transcribe_many

        run = None
        if on_ray:
            from legato.contrib.ray.batch import RayData

            run = RayData(jobs, threads or 1)
        transcribe_many(
            recognizer, name, files, output, kinds, options,
            channels=heard, recursive=recursive, jobs=jobs or 4, overwrite=overwrite,
            asked={
                **options, "phrases": sorted(phrase or []), "lm": lm and _hash_of(lm), "channels": heard,
                "model": name, "files": _hash_of(resolved.path / "config.json"), "template": template,
            },
            run=run,
        )  # fmt: skip
        return
    failed = interrupted = False
    for file, paths in zip(files, targets, strict=True):
        try:
            with _progress(file) as progress:
                if several or heard == "split":  # Ctrl-C drops the file that is being read
                    transcript = recognizer.transcribe(file, **options, channels=heard, progress=progress)
                else:
                    channel = None if heard == "mix" else heard
                    transcript, interrupted = _one(recognizer, file, channel, options, progress)
            if interrupted:
                paths[:] = map(partial_path, paths)
            for path, each in zip(paths, kinds, strict=False):
                write_result(path, transcript, each, name=file, model=name)
            if not paths:
                print_result(transcript, kind, name=file, model=name, several=several)
        except LegatoError as error:
            if isinstance(error, OutputError) and (error.no_room or not paths):  # nor is there room for the others
                raise
            say_error(error)
            failed = True
    if interrupted:
        where = f", in {', '.join(map(str, targets[0]))}" if targets[0] else ""
        say(f"legato: interrupted at {transcript.duration:.2f} s of {files[0]}; what was heard is written{where}")
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(FAILED)


def _hash_of(path: Path) -> str:
    """Tell a file from another; a model's `config.json` knows the hashes of all its files."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _one(
    recognizer: "Recognizer",
    file: str,
    channel: int | None,
    options: "Options",
    progress: Callable[[float], None] | None,
) -> tuple["Transcript", bool]:
    """Transcribe one file until its end or Ctrl-C; the flag says that it was Ctrl-C."""
    from legato.audio.source import open_audio
    from legato.cli.interrupt import Interruptible

    with open_audio(file, channel=channel) as audio, Interruptible() as source:
        audio.block_seconds = 1.0  # what Ctrl-C can cost
        heard = False

        def blocks() -> Iterator["Samples"]:
            nonlocal heard
            for block in source.blocks(audio):
                heard = True
                yield block

        try:
            transcript = recognizer.transcribe(blocks(), **options, progress=progress)
        except LegatoError:
            if source.interrupted and not heard:
                raise KeyboardInterrupt from None
            raise
        for warning in audio.warnings:
            say_error(f"{file}: {warning}")
    return transcript, source.interrupted


def _live(recognizer: "Recognizer", model: str, paths: list[Path], kinds: list[str], options: "Options") -> None:
    from legato.cli.live import transcribe_live
    from legato.cli.output import print_result, write_result
    from legato.cli.writing import put
    from legato.text.formats import json_final

    shown = kinds[0] if not paths and kinds[0] in {Format.TXT, Format.JSONL} else None
    transcript, interrupted = transcribe_live(recognizer, options, shown=shown)
    for path, kind in zip(paths, kinds, strict=False):
        write_result(path, transcript, kind, name="-", model=model)
    if shown == Format.JSONL and transcript.endpointed:  # its segments are printed already
        put(json_final(transcript, model=model, file="-"))
    elif not paths and shown != Format.TXT:
        print_result(transcript, kinds[0], name="-", model=model, several=False)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _channels(given: str) -> "Channels":
    if given == "mix":
        return "mix"
    if given == "split":
        return "split"
    if not (given.isascii() and given.isdigit()):
        raise typer.BadParameter("give mix, split, or a number: 0 or 1 of a stereo file.", param_hint="--channels")
    return int(given)


def _which(model: "ResolvedModel") -> str:
    if model.source == "embedded":
        return "Model: embedded, a small one to try things with; the full one: legato models download nemotron-3.5-int8"
    return f"Model: {model.name}; others: --model NAME, see 'legato models'"


@contextmanager
def _progress(file: str) -> Iterator[Callable[[float], None] | None]:
    """A bar on standard error while a long file is being transcribed; None where it would disturb."""
    seconds = _long(file) if sys.stderr.isatty() else None
    if seconds is None:
        yield None
        return
    from legato.cli.progress import seconds_bar

    with seconds_bar(Path(file).name, seconds) as update:
        yield update


def _long(file: str) -> float | None:
    """Seconds of a long file; None of a short one, or when it does not say."""
    from legato.audio.source import open_audio

    if not Path(file).is_file():  # a pipe can be opened only once
        return None
    try:
        with open_audio(file) as audio:
            return audio.duration if (audio.duration or 0) >= _LONG_SECONDS else None
    except LegatoError:
        return None  # the transcription will say it
