"""What `legato transcribe` was asked to do: the options, checked against each other, as one job."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from legato.audio.channels import Channels
from legato.audio.pcm import AudioFormat
from legato.batch import Track
from legato.cli.files import Destination, format_of, is_folder, unknown_ending, writer_of
from legato.options import StreamOptions
from legato.text.formats import SUBTITLES, WRITERS, base_format

#: Value of `--output`.
STANDARD_OUTPUT = "-"
#: Formats without a place for the name of the audio.
_NAMELESS = {*SUBTITLES, "tsv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Transcribe standard input as it arrives.

    Attributes:
        destination: where the results go.
        options: options of the stream, as they were given.
        audio_format: format of raw audio; None lets the first bytes decide whether it is a file.
        channel: the only channel to read; None averages all.
        track: as in `open_audio`.
    """

    destination: Destination
    options: StreamOptions
    audio_format: AudioFormat | None = None
    channel: int | None = None
    track: Track = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Transcribe files one after the other.

    Attributes:
        names: files and addresses.
        destination: where the results go.
        options: options of each stream, as they were given.
        channels: as in `Recognizer.transcribe`.
        track: as in `open_audio`.
    """

    names: tuple[str, ...]
    destination: Destination
    options: StreamOptions
    channels: Channels
    track: Track = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Transcribe folders, or many files at once, into files; files that have a result are left out.

    Attributes:
        names: files, folders and addresses.
        destination: where the results go; without a folder, beside the audio.
        options: options of each stream, as they were given.
        channels: as in `Recognizer.transcribe`.
        track: as in `open_audio`.
        phrases: the phrases as they were given.
        recursive: include the folders inside the folders.
        jobs: files at once; None for the default.
        threads: threads per process; None for the default.
        overwrite: transcribe all files, and replace existing results.
        on_ray: use a Ray cluster.
    """

    names: tuple[str, ...]
    destination: Destination
    options: StreamOptions
    channels: Channels
    track: Track = None
    phrases: tuple[str, ...] = ()
    recursive: bool = False
    jobs: int | None = None
    threads: int | None = None
    overwrite: bool = False
    on_ray: bool = False


Job = Live | Files | Batch


def read_job(
    names: Sequence[str],
    options: StreamOptions,
    *,
    formats: Sequence[str],
    template: str | None,
    output: str | None,
    channels: str,
    track: str | None,
    raw: AudioFormat | None,
    phrases: Sequence[str],
    recursive: bool,
    jobs: int | None,
    threads: int | None,
    overwrite: bool,
    on_ray: bool,
) -> Job:
    """Check the options of the command against each other.

    Raises:
        typer.BadParameter: options that contradict each other.
        LegatoError: a wrong template.
    """
    if "" in names:
        raise typer.BadParameter("the name of a file is empty.", param_hint="FILE...")
    several = len(names) > 1
    batch = recursive or on_ray or jobs is not None or all(map(is_folder, names))
    used = _channels(channels)
    if (several or batch) and "-" in names:
        raise typer.BadParameter("- (standard input) cannot be combined with files.", param_hint="FILE...")
    if "-" in names and used == "split":
        raise typer.BadParameter("- (standard input) can be read only once.", param_hint="--channels")
    if raw is not None and list(names) != ["-"]:
        raise typer.BadParameter(
            "they describe raw audio on standard input: legato transcribe --raw-rate HZ - < FILE.",
            param_hint="--raw-...",
        )
    if overwrite and not batch:
        raise typer.BadParameter(
            "it applies to folders and --jobs; other results are always written.", param_hint="--overwrite"
        )
    destination = _destination(_kinds(formats, template), output, given=bool(formats or template), single=not several)
    if batch and (destination.file is not None or output == STANDARD_OUTPUT):
        raise typer.BadParameter(
            f"folders and --jobs make a file per input; give the name of a folder, not {output}.", param_hint="--output"
        )
    if destination.prints and not batch:
        if len(destination.kinds) > 1:
            raise typer.BadParameter("several formats need --output DIR.", param_hint="--format")
        if several and (kind := base_format(destination.kinds[0])) in _NAMELESS:
            raise typer.BadParameter(f"{kind} of several files needs --output DIR.", param_hint="--format")
    if batch:
        return Batch(
            names=tuple(names), destination=destination, options=options, channels=used, track=track,
            phrases=tuple(phrases), recursive=recursive, jobs=jobs, threads=threads, overwrite=overwrite,
            on_ray=on_ray,
        )  # fmt: skip
    if "-" in names:
        channel = used if isinstance(used, int) else None
        return Live(destination=destination, options=options, audio_format=raw, channel=channel, track=track)
    return Files(names=tuple(names), destination=destination, options=options, channels=used, track=track)


def _kinds(formats: Sequence[str], template: str | None) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(map(str, formats)))
    for kind in kinds:
        if base_format(kind) not in WRITERS:
            raise typer.BadParameter(f"{kind!r}: only {', '.join(SUBTITLES)} have a style.", param_hint="--format")
        writer_of(kind)
    if len({base_format(kind) for kind in kinds}) < len(kinds):
        raise typer.BadParameter("give each format only once.", param_hint="--format")
    if template is None:
        return kinds or ("txt",)
    if kinds:
        raise typer.BadParameter("give --format or --output-template, not both.", param_hint="--output-template")
    writer_of(template)
    return (template,)


def _destination(kinds: tuple[str, ...], output: str | None, *, given: bool, single: bool) -> Destination:
    """Return where results go: a file, if the name ends with a format; standard output; or a folder.

    A folder exists, has a name without an ending, or is written with a slash at the end. A mistyped format is an error.

    Args:
        output: value of `--output`.
        given: the formats were given, and are not the default.
        single: there is one input.
    """
    if output is None or output == STANDARD_OUTPUT:
        return Destination(kinds)
    if not output:
        raise typer.BadParameter("the name of the folder or file is empty.", param_hint="--output")
    path = Path(output)
    ending = format_of(path)
    if not ending or is_folder(path) or output.endswith(("/", os.sep)):
        return Destination(kinds, folder=path)
    if ending not in WRITERS:
        raise typer.BadParameter(f"{unknown_ending(path)} If it is a folder, write {output}/.", param_hint="--output")
    if not single or len(kinds) > 1:
        raise typer.BadParameter(
            f"{output} is one file: give one input and one format, or the name of a folder.", param_hint="--output"
        )
    return Destination(kinds if given else (ending,), file=path)


def _channels(text: str) -> Channels:
    if text == "mix":
        return "mix"
    if text == "split":
        return "split"
    if not (text.isascii() and text.isdigit()):
        raise typer.BadParameter(
            "give mix, split, or the number of a channel: 0 or 1 of a stereo file.", param_hint="--channels"
        )
    return int(text)


def raw_format(encoding: str | None, rate: int | None, channels: int | None) -> AudioFormat | None:
    """Return the format of raw audio on standard input; None if no option describes it.

    Raises:
        typer.BadParameter: an unknown encoding, or a number out of range.
    """
    given = {"encoding": encoding, "rate": rate, "channels": channels}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        return AudioFormat(**chosen) if chosen else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--raw-...") from None
