"""Many files at once through the engine: each result is written when it is done, and a second run does the rest."""

import os
import stat
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from legato.audio.channels import Channels
from legato.audio.source import channel_count, is_url, open_audio
from legato.cli.batch.journal import Ledger, Source, Standing, hash_of, source_of
from legato.cli.errors import FAILED, INTERRUPTED, say, say_error
from legato.cli.output import make_folder, result_paths, write_result
from legato.engine.engine import Engine
from legato.errors import AudioError, EngineError, LegatoError, OutputError
from legato.streaming.collect import merge_channels as merge
from legato.streaming.collect import with_segments
from legato.types import Final, Segment, Transcript

if TYPE_CHECKING:
    from legato.recognizer import Options, Recognizer

_SUFFIXES = frozenset(
    {
        *(".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf", ".dts", ".flac"),
        *(".flv", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg"),
        *(".mts", ".oga", ".ogg", ".ogv", ".opus", ".snd", ".spx", ".tta", ".vob", ".w64", ".wav", ".webm", ".wma"),
        *(".wmv", ".wv"),
    }
)
"""What names of audio and video files end with: only these are taken from a folder."""

_BLOCK_SECONDS = 5.0
_TAKEN = (
    "what has the name of its result was not written by Legato, or was edited, or is from other audio. "
    "--output DIR puts results elsewhere, --overwrite replaces it."
)
Told = Callable[[str, Transcript | None], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One file to do.

    Attributes:
        name: as the user knows it.
        targets: where its results go, a path a format.
        source: the audio and the options as they were when the run began.
    """

    name: str
    targets: tuple[Path, ...]
    source: Source


Write = Callable[[Job, Transcript], None]


@dataclass
class Outcome:
    """What became of the files.

    Attributes:
        done: files with a new result.
        skipped: files that had their result already.
        again: files whose result is of other options, or of the audio as it was before.
        failed: name -> why there is no result.
        left: files that were not tried, because the run was stopped.
        seconds: of audio, of the files that were done.
        stopped: why the run ended before its end.
        interrupted: Ctrl-C ended it.
    """

    done: int = 0
    skipped: int = 0
    again: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    left: int = 0
    seconds: float = 0.0
    stopped: str | None = None
    interrupted: bool = False


def transcribe_many(
    recognizer: "Recognizer",
    model: str,
    names: Sequence[str],
    output: Path | None,
    kinds: Sequence[str],
    options: "Options",
    *,
    channels: Channels,
    recursive: bool,
    jobs: int,
    overwrite: bool,
    asked: dict[str, Any],
    run: "Run | None" = None,
) -> None:
    """Transcribe files and folders, several files at once, each into a file of its own.

    What has its result already is left out: a ledger beside the results says which audio and options each is from.

    Args:
        recognizer: the model.
        model: its name, for the results.
        names: files, folders and addresses.
        output: folder for the results, with the folders' inner structure; None puts each beside its audio.
        kinds: formats of the results, or a template.
        options: for `Recognizer.stream`.
        channels: as for `Recognizer.transcribe`.
        recursive: take what is in the folders' folders too.
        jobs: files at once.
        overwrite: do all files, and replace whatever has the name of a result.
        asked: all that decides what the results say, as the user gave it; with another one they are made again.
        run: what does the files; None does them here, through an engine.

    Raises:
        typer.Exit: a file failed (2), or Ctrl-C came (130).
        LegatoError: there is nothing to do anything with.
    """
    outcome = Outcome()
    found = _plan(names, output, kinds, recursive, hash_of(asked), outcome.failed)
    if not found and not outcome.failed:
        deeper = "" if recursive else " directly in it; --recursive takes its folders too"
        raise AudioError(f"{', '.join(names)}: no audio or video file{deeper}.")
    ledgers = {folder: Ledger(folder) for folder in {target.parent for job in found for target in job.targets}}

    def write(job: Job, transcript: Transcript) -> None:
        for target, kind in zip(job.targets, kinds, strict=True):
            make_folder(target.parent)
            note = partial(ledgers[target.parent].note, target, job.source)
            write_result(target, transcript, kind, name=job.name, model=model, note=note)

    todo = found if overwrite else _unfinished(found, ledgers, outcome)
    with _shown(len(found), len(found) - len(todo)) as tell:
        (run or partial(_run, jobs=jobs))(recognizer, todo, outcome, tell, options, channels=channels, write=write)
    _summarise(outcome)
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if outcome.failed or outcome.stopped:
        raise typer.Exit(FAILED)


def _plan(
    names: Sequence[str],
    output: Path | None,
    kinds: Sequence[str],
    recursive: bool,
    options: str,
    failed: dict[str, str],
) -> list[Job]:
    """Find the files, each once, and give each the name of its result; what cannot be looked at goes to `failed`."""
    places: dict[str, Path] = {}  # name of the audio -> folder of its result
    seen: set[str] = set()
    for name in names:
        if is_url(name):
            places.setdefault(name, output or Path())
            continue
        root = Path(name)
        paths = _audio_files(root, recursive, failed) if root.is_dir() else iter([root])
        for path in paths:
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                inner = path.parent.relative_to(root) if root.is_dir() else Path()
                places[str(path)] = path.parent if output is None else output / inner
    targets: dict[str, tuple[Path, ...]] = {}
    for folder in dict.fromkeys(places.values()):
        inside = [name for name, place in places.items() if place == folder]
        targets.update(
            zip(inside, zip(*(result_paths(inside, folder, kind) for kind in kinds), strict=True), strict=True)
        )
    return [Job(name, targets[name], source_of(name, options)) for name in places]


def _unfinished(found: Sequence[Job], ledgers: Mapping[Path, Ledger], outcome: Outcome) -> list[Job]:
    """Give the files that have to be done; what is known of the others goes into `outcome`."""
    todo = []
    for job in found:
        standings = {target: ledgers[target.parent].standing(target, job.source) for target in job.targets}
        if Standing.TAKEN in standings.values():
            outcome.failed[job.name] = _TAKEN
        elif all(standing is Standing.DONE for standing in standings.values()):
            outcome.skipped += 1
        else:
            outcome.again += Standing.OLD in standings.values()
            todo.append(job)
    return todo


def _audio_files(root: Path, recursive: bool, failed: dict[str, str]) -> Iterator[Path]:
    """Give the audio and video files of a folder, sorted; hidden ones and what is no regular file are left out."""

    def unreadable(error: OSError) -> None:
        failed[str(error.filename)] = f"the folder cannot be read: {error.strerror}"

    for folder, inner, files in os.walk(root, onerror=unreadable):
        inner[:] = sorted(name for name in inner if not name.startswith(".")) if recursive else []
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix.lower() in _SUFFIXES and not name.startswith(".") and _is_regular(path):
                yield path


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a link to nothing: opening it will say so
        return True


def _run(
    recognizer: "Recognizer",
    todo: Sequence[Job],
    outcome: Outcome,
    tell: Told,
    options: "Options",
    *,
    channels: Channels,
    jobs: int,
    write: Write,
) -> None:
    """Do the files; what became of them goes into `outcome`."""
    stopping = threading.Event()

    def do(job: Job) -> Transcript | None:
        if stopping.is_set():
            return None
        transcript = recognise(engine, job.name, channels, options, warn=say_error)
        write(job, transcript)
        return transcript

    engine = Engine(recognizer, max_streams=jobs)
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="legato-file")
    futures = {pool.submit(do, job): job for job in todo}
    waiting = set(futures)
    try:
        for future in as_completed(futures):
            waiting.discard(future)
            name = futures[future].name
            try:
                transcript = future.result()
            except Exception as error:  # whatever it is, the other files go on
                if stopping.is_set() and isinstance(error, EngineError):  # given up, not failed
                    outcome.left += 1
                    continue
                outcome.failed[name] = reason_of(error)
                if isinstance(error, OutputError) and error.no_room and not stopping.is_set():
                    outcome.stopped = "the disk is full"
                    stopping.set()
                    engine.close(cancel=True)
                tell(name, None)
                continue
            if transcript is None:
                outcome.left += 1
                continue
            outcome.done += 1
            outcome.seconds += transcript.duration
            tell(name, transcript)
    except KeyboardInterrupt:
        outcome.interrupted = True
        outcome.stopped = "interrupted"
        outcome.left += len(waiting)
        stopping.set()
    finally:
        stopping.set()
        engine.close(cancel=bool(waiting))
        pool.shutdown(cancel_futures=True)
    for future in waiting:  # files that were finished all the same while the others were given up
        if not future.cancelled() and future.exception() is None and (transcript := future.result()) is not None:
            outcome.left -= 1
            outcome.done += 1
            outcome.seconds += transcript.duration


def reason_of(error: Exception) -> str:
    """Say why a file failed."""
    return str(error) if isinstance(error, LegatoError) else f"{type(error).__name__}: {error}"


class Run(Protocol):
    """Does files, and puts what became of them into `outcome`."""

    def __call__(  # noqa: D102
        self,
        recognizer: "Recognizer",
        todo: Sequence[Job],
        outcome: Outcome,
        tell: Told,
        options: "Options",
        *,
        channels: Channels,
        write: Write,
    ) -> None: ...


def recognise(
    engine: Engine, name: str, channels: Channels, options: "Options", warn: Callable[[str], None]
) -> Transcript:
    """Recognise one file through the engine.

    Args:
        engine: has a stream to spare.
        name: of the file, or its address.
        channels, options: as for `transcribe_many`.
        warn: is told what is wrong with the file.

    Raises:
        AudioError: it cannot be read, or changed while it was read: then it may not be complete yet.
        EngineError: the engine was closed, or broke down.
    """
    numbers = range(channel_count(name)) if channels == "split" else [None if channels == "mix" else channels]
    parts = [_recognise(engine, name, number, options, warn) for number in numbers]
    return merge(parts) if channels == "split" else parts[0]


def _recognise(
    engine: Engine, name: str, channel: int | None, options: "Options", warn: Callable[[str], None]
) -> Transcript:
    """Recognise one file, or a channel of it.

    Raises:
        AudioError: it cannot be read, or changed while it was read: then it may not be complete yet.
        EngineError: the engine was closed, or broke down.
    """
    segments: list[Segment] = []
    with (
        open_audio(name, channel=channel) as audio,
        engine.stream(**options) as stream,
    ):
        audio.block_seconds = _BLOCK_SECONDS
        for block in audio:
            stream.accept(block)
            # Each partial holds the whole text so far: they must not pile up.
            segments += (event for event in stream.poll() if isinstance(event, Segment))
        *events, final = stream.finish()
        segments += (event for event in events if isinstance(event, Segment))
        if audio.changed:
            raise AudioError(f"{name}: {audio.warnings[-1]}.")
        if not channel:  # what is wrong with a file is the same for all its channels
            for warning in audio.warnings:
                warn(f"{name}: {warning}")
    assert isinstance(final, Final)
    return with_segments(segments, final.transcript)


@contextmanager
def _shown(total: int, before: int) -> Iterator[Told]:
    """Show what was done: a bar on a terminal, else a line a file on standard error."""
    count = before
    if sys.stderr.isatty():
        from legato.cli.progress import steps_bar

        with steps_bar() as update:
            update("files", before, total)

            def move(_name: str, _transcript: Transcript | None) -> None:
                nonlocal count
                count += 1
                update("files", count, total)

            yield move
        return

    def line(name: str, transcript: Transcript | None) -> None:
        nonlocal count
        count += 1
        what = "failed" if transcript is None else f"{transcript.duration:.2f} s"
        say(f"{count}/{total} {name}: {what}")

    yield line


def _summarise(outcome: Outcome) -> None:
    """Print what became of the files, and why some have no result."""
    parts = [f"{outcome.done} done ({outcome.seconds:.0f} s of audio)"]
    if outcome.again:
        parts.append(f"{outcome.again} anew, since the audio or the options are not those of their result")
    if outcome.skipped:
        parts.append(f"{outcome.skipped} had a result already (--overwrite does them again)")
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} failed")
    if outcome.left:
        parts.append(f"{outcome.left} not done ({outcome.stopped}); the same command does the rest")
    say(f"legato: {', '.join(parts)}")
    for reason, number in Counter(outcome.failed.values()).items():
        names = [name for name, why in outcome.failed.items() if why == reason]
        shown = reason if number == 1 and names[0] in reason else f"{', '.join(names)}: {reason}"
        say(f"legato: failed: {shown}")
