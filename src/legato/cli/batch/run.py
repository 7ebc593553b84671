"""A batch run: the results of an executor are written, counted and summarized."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from legato.batch import Executor, Result
from legato.cli.batch.journal import Journal
from legato.cli.batch.plan import Job, Plan
from legato.cli.console import say, say_warnings
from legato.cli.files import make_folder, write_result
from legato.cli.progress import steps_bar
from legato.errors import OutputError

_SHOWN_ENDINGS = 5


@dataclass(slots=True)
class Outcome:
    """The outcome of a batch run.

    Attributes:
        done: files with a new result.
        seconds: their audio.
        partial: files with a new result whose audio could be read only in part.
        failed: name -> why there is no result.
        stopped: why the run ended early; None if it did not.
        interrupt: the interrupt that ended it.
    """

    done: int = 0
    seconds: float = 0.0
    partial: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    stopped: str | None = None
    interrupt: KeyboardInterrupt | None = None


Write = Callable[[Job, Result], None]


def run(plan: Plan, executor: Executor, write: Write) -> Outcome:
    """Transcribe the files of a plan. A file that fails does not keep the others from being done.

    Args:
        write: writes the results of a file.

    Raises:
        LegatoError: nothing can be transcribed.
    """
    outcome = Outcome()
    jobs = {job.name: job for job in plan.jobs}
    try:
        with (
            _shown(plan.total - len(jobs), plan.total) as show,
            closing(executor.run(list(jobs))) as results,
        ):
            for result in results:
                _take(result, jobs[result.name], write, outcome)
                show(result, result.name not in outcome.failed)
                if outcome.stopped:
                    break
    except KeyboardInterrupt as interrupt:
        outcome.interrupt, outcome.stopped = interrupt, "interrupted"
    return outcome


def _take(result: Result, job: Job, write: Write, outcome: Outcome) -> None:
    """Write a result and count it."""
    say_warnings(result.name, result.warnings)
    if result.transcript is None:
        outcome.failed[result.name] = result.error or "no result"
        return
    try:
        write(job, result)
    except OutputError as error:
        outcome.failed[result.name] = str(error)
        outcome.stopped = "the disk is full" if error.no_room else None
        return
    outcome.done += 1
    if result.transcript.partial:
        outcome.partial.append(result.name)
    outcome.seconds += result.transcript.duration


def writer(kinds: tuple[str, ...], model: str, journals: dict[Path, Journal]) -> Write:
    """Return the function that writes the results of a job and notes them in the journal of their folder.

    Args:
        kinds: format of each target.
        journals: folder -> its journal.
    """

    def write(job: Job, result: Result) -> None:
        assert result.transcript is not None
        for target, kind in zip(job.targets, kinds, strict=True):
            make_folder(target.parent)
            note = partial(journals[target.parent].note, target, job.source, partial=result.transcript.partial)
            write_result(target, result.transcript, kind, name=job.name, model=model, note=note)

    return write


@contextmanager
def _shown(done: int, total: int) -> Iterator[Callable[[Result, bool], None]]:
    """Show the progress: a bar on a terminal, otherwise a line per file on standard error."""
    count = done
    with steps_bar() as bar:
        if bar is not None:
            bar("files", done, total)

        def show(result: Result, succeeded: bool) -> None:
            nonlocal count
            count += 1
            if bar is not None:
                bar("files", count, total)
                return
            seconds = f"{result.transcript.duration:.2f} s" if result.transcript and succeeded else "failed"
            say(f"{count}/{total} {result.name}: {seconds}")

        yield show


def summarize(plan: Plan, outcome: Outcome) -> None:
    """Print what became of the files, and why some have no result."""
    failed = plan.failed | outcome.failed
    left = len(plan.jobs) - outcome.done - len(outcome.failed)
    parts = [f"{outcome.done} done ({outcome.seconds:.0f} s of audio)"]
    if plan.outdated:
        parts.append(f"{plan.outdated} of them again because the audio or the options have changed")
    if outcome.partial:
        parts.append(f"{len(outcome.partial)} of them only in part")
    if plan.done:
        parts.append(f"{len(plan.done)} had a result already (--overwrite does them again)")
    if plan.partial:
        parts.append(f"{len(plan.partial)} of these only in part")
    if failed:
        parts.append(f"{len(failed)} failed")
    if left:
        parts.append(f"{left} not done ({outcome.stopped}); the same command does the rest")
    if plan.passed_over:
        parts.append(passed_over(plan))
    if plan.inner_folders:
        folders = "folder" if plan.inner_folders == 1 else "folders"
        parts.append(f"{plan.inner_folders} {folders} inside not read (--recursive reads them)")
    if plan.beside and outcome.done:
        parts.append("each result is beside its audio")
    say(f"legato: {', '.join(parts)}")
    if plan.partial:
        say(f"legato: of an earlier run, only in part: {', '.join(plan.partial)}")
    for reason, number in Counter(failed.values()).items():
        names = [name for name, why in failed.items() if why == reason]
        named = number == 1 and names[0] in reason
        say(f"legato: failed: {reason}" if named else f"legato: failed: {', '.join(names)}: {reason}")


def passed_over(plan: Plan) -> str:
    """Return how many files were passed over, and the suffixes of the most."""
    endings = Counter(path.suffix.lower() or "none" for path in plan.passed_over)
    shown = ", ".join(ending for ending, _ in endings.most_common(_SHOWN_ENDINGS))
    more = ", ..." if len(endings) > _SHOWN_ENDINGS else ""
    number = len(plan.passed_over)
    return f"{number} other file{'s' if number > 1 else ''} passed over because of the ending ({shown}{more})"
