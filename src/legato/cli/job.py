"""What `legato transcribe` was asked to do: the options, checked against each other, as one job."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from legato.audio.channels import Channels
from legato.cli.files import Destination, writer_of
from legato.options import StreamOptions

#: Formats without a place for the name of the audio.
_NAMELESS = {"srt", "vtt", "tsv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Transcribe standard input as it arrives.

    Attributes:
        destination: where the results go.
        options: options of the stream, as they were given.
    """

    destination: Destination
    options: StreamOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Transcribe files one after the other.

    Attributes:
        names: files and addresses.
        destination: where the results go.
        options: options of each stream, as they were given.
        channels: as in `Recognizer.transcribe`.
    """

    names: tuple[str, ...]
    destination: Destination
    options: StreamOptions
    channels: Channels


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Transcribe folders, or many files at once, into files; files that have a result are left out.

    Attributes:
        names: files, folders and addresses.
        destination: where the results go; without a folder, beside the audio.
        options: options of each stream, as they were given.
        channels: as in `Recognizer.transcribe`.
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
    output: Path | None,
    channels: str,
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
    several = len(names) > 1
    batch = recursive or on_ray or jobs is not None or all(Path(name).is_dir() for name in names)
    used = _channels(channels)
    if (several or batch) and "-" in names:
        raise typer.BadParameter("- (standard input) cannot be combined with files.", param_hint="FILE...")
    if "-" in names and used != "mix":
        raise typer.BadParameter("- (standard input) has one channel.", param_hint="--channels")
    if overwrite and not batch:
        raise typer.BadParameter(
            "it applies to folders and --jobs; other results are always written.", param_hint="--overwrite"
        )
    kinds = _kinds(formats, template)
    if len(kinds) > 1 and output is None and not batch:
        raise typer.BadParameter("several formats need --output DIR.", param_hint="--format")
    if several and not batch and output is None and kinds[0] in _NAMELESS:
        raise typer.BadParameter(f"{kinds[0]} of several files needs --output DIR.", param_hint="--format")
    destination = Destination(kinds, output)
    if batch:
        return Batch(
            names=tuple(names), destination=destination, options=options, channels=used,
            phrases=tuple(phrases), recursive=recursive, jobs=jobs, threads=threads, overwrite=overwrite,
            on_ray=on_ray,
        )  # fmt: skip
    if "-" in names:
        return Live(destination=destination, options=options)
    return Files(names=tuple(names), destination=destination, options=options, channels=used)


def _kinds(formats: Sequence[str], template: str | None) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(map(str, formats)))
    if template is None:
        return kinds or ("txt",)
    if kinds:
        raise typer.BadParameter("give --format or --output-template, not both.", param_hint="--output-template")
    writer_of(template)
    return (template,)


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
