"""Which files a batch run transcribes, and where each result goes."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from legato.audio.addresses import is_url
from legato.cli.batch.journal import Journal, Source, Standing, source_of
from legato.cli.files import result_paths

_SUFFIXES = frozenset(
    {
        *(".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf", ".dts", ".flac"),
        *(".flv", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg"),
        *(".mts", ".oga", ".ogg", ".ogv", ".opus", ".snd", ".spx", ".tta", ".vob", ".w64", ".wav", ".webm", ".wma"),
        *(".wmv", ".wv"),
    }
)
"""Suffixes of audio and video files: only these are taken from a folder."""

_TAKEN = (
    "what has the name of its result was not written by Legato, or was edited, or is from other audio. "
    "--output DIR puts results elsewhere, --overwrite replaces it."
)


@dataclass(frozen=True, slots=True)
class Job:
    """One file to transcribe.

    Attributes:
        name: as the user knows it.
        targets: paths of its results, one per format.
        source: the audio and the options at the start of the run.
    """

    name: str
    targets: tuple[Path, ...]
    source: Source


@dataclass(slots=True)
class Plan:
    """The files of a batch run.

    Attributes:
        jobs: files to transcribe.
        total: files that were found.
        done: how many of them have their result already.
        outdated: how many of `jobs` have a result of other options, or of an earlier version of the audio.
        failed: name -> why nothing can be done.
    """

    jobs: list[Job]
    total: int
    done: int = 0
    outdated: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def leave_out_finished(self, journals: Mapping[Path, Journal]) -> None:
        """Keep the jobs that are not done; a path that belongs to another file makes its job fail."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            standings = {journals[target.parent].standing(target, job.source) for target in job.targets}
            if Standing.TAKEN in standings:
                self.failed[job.name] = _TAKEN
            elif standings == {Standing.DONE}:
                self.done += 1
            else:
                self.outdated += Standing.OLD in standings
                self.jobs.append(job)


def make_plan(
    names: Sequence[str], output: Path | None, kinds: Sequence[str], options: str, *, recursive: bool
) -> Plan:
    """Find the files, each once, and name their results.

    Args:
        names: files, folders and addresses.
        output: folder for the results, which keeps the structure of the folders; None puts each beside its audio.
        kinds: formats of the results.
        options: hash of the options, see `hash_of`.
        recursive: include the folders inside the folders.
    """
    failed: dict[str, str] = {}
    folders: dict[str, Path] = {}  # name of the audio -> folder of its results
    seen: set[str] = set()
    for name in names:
        if is_url(name):
            folders.setdefault(name, output or Path())
            continue
        root = Path(name)
        paths = _audio_files(root, recursive, failed) if root.is_dir() else iter([root])
        for path in paths:
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                inner = path.parent.relative_to(root) if root.is_dir() else Path()
                folders[str(path)] = path.parent if output is None else output / inner
    targets: dict[str, tuple[Path, ...]] = {}
    for folder in dict.fromkeys(folders.values()):
        inside = [name for name, place in folders.items() if place == folder]
        by_kind = (result_paths(inside, folder, kind) for kind in kinds)
        targets |= zip(inside, zip(*by_kind, strict=True), strict=True)
    jobs = [Job(name, targets[name], source_of(name, options)) for name in folders]
    return Plan(jobs, len(jobs), failed=failed)


def _audio_files(root: Path, recursive: bool, failed: dict[str, str]) -> Iterator[Path]:
    """Yield the audio and video files of a folder, sorted, without hidden files and without devices and pipes."""

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
    except OSError:  # a link to nothing: opening it reports the error
        return True
