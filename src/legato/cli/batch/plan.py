"""Which files a batch run transcribes, and where each result goes."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from legato.audio.addresses import is_url
from legato.cli.batch.journal import Journal, Source, Standing, source_of
from legato.cli.batch.suffixes import SUFFIXES
from legato.cli.files import check_writable, is_folder, result_paths
from legato.errors import OutputError

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
        done: files that have their result already.
        partial: those of them whose audio could be read only in part.
        outdated: how many of `jobs` have a result of other options, or of an earlier version of the audio.
        passed_over: files in the folders whose suffix is not that of audio.
        inner_folders: how many folders inside the folders were not read.
        beside: whether each result is beside its audio.
        failed: name -> why nothing can be done.
    """

    jobs: list[Job]
    total: int
    done: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    outdated: int = 0
    passed_over: list[Path] = field(default_factory=list)
    inner_folders: int = 0
    beside: bool = False
    failed: dict[str, str] = field(default_factory=dict)

    def leave_out_finished(self, journals: Mapping[Path, Journal]) -> None:
        """Keep the jobs that are not done; a path that belongs to another file makes its job fail."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            standings = {journals[target.parent].standing(target, job.source) for target in job.targets}
            if Standing.TAKEN in standings:
                self.failed[job.name] = _TAKEN
            elif standings <= {Standing.DONE, Standing.PARTIAL}:
                self.done.append(job.name)
                if Standing.PARTIAL in standings:
                    self.partial.append(job.name)
            else:
                self.outdated += Standing.OLD in standings
                self.jobs.append(job)

    def leave_out_unwritable(self) -> None:
        """Let the jobs fail whose results cannot be written, before they are transcribed."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            try:
                for target in job.targets:
                    check_writable(target)
            except OutputError as error:
                self.failed[job.name] = str(error)
            else:
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
    found = _Search(recursive)
    folders: dict[str, Path] = {}  # name of the audio -> folder of its results
    seen: set[str] = set()
    for name in names:
        if is_url(name):
            folders.setdefault(name, output or Path())
            continue
        root = Path(name)
        inside = is_folder(root)
        for path in found.files(root) if inside else iter([root]):
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                inner = path.parent.relative_to(root) if inside else Path()
                folders[str(path)] = path.parent if output is None else output / inner
    targets: dict[str, tuple[Path, ...]] = {}
    for folder in dict.fromkeys(folders.values()):
        there = [name for name, place in folders.items() if place == folder]
        by_kind = (result_paths(there, folder, kind) for kind in kinds)
        targets |= zip(there, zip(*by_kind, strict=True), strict=True)
    jobs = [Job(name, targets[name], source_of(name, options)) for name in folders]
    return Plan(
        jobs, len(jobs), passed_over=found.passed_over, inner_folders=found.inner_folders, beside=output is None,
        failed=found.failed,
    )  # fmt: skip


class _Search:
    """Finds the audio and video files of folders, without hidden files, devices and pipes. Links are followed once.

    Attributes:
        passed_over: files with other suffixes.
        inner_folders: how many folders were not read.
        failed: folder -> why it cannot be read.
    """

    def __init__(self, recursive: bool) -> None:
        self.passed_over: list[Path] = []
        self.inner_folders = 0
        self.failed: dict[str, str] = {}
        self._recursive = recursive
        self._seen: set[str] = set()

    def files(self, root: Path) -> Iterator[Path]:
        """Yield the files of a folder, sorted."""
        self._seen.add(os.path.realpath(root))
        for folder, inner, files in os.walk(root, onerror=self._unreadable, followlinks=True):
            inner[:] = [name for name in sorted(inner) if self._is_new(Path(folder, name))]
            if not self._recursive:
                self.inner_folders += len(inner)
                inner.clear()
            for name in sorted(files):
                path = Path(folder, name)
                if name.startswith(".") or not _is_regular(path):
                    continue
                if path.suffix.lower() in SUFFIXES:
                    yield path
                else:
                    self.passed_over.append(path)

    def _is_new(self, folder: Path) -> bool:
        real = os.path.realpath(folder)
        if folder.name.startswith(".") or real in self._seen:
            return False
        self._seen.add(real)
        return True

    def _unreadable(self, error: OSError) -> None:
        self.failed[str(error.filename)] = f"the folder cannot be read: {error.strerror}"


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a link to nothing: opening it reports the error
        return True
