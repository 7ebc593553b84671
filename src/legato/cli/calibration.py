"""What `legato calibrate` runs and prints."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.box import SIMPLE_HEAD
from rich.table import Table

from legato.cli.progress import work_bar
from legato.cli.terminal import Terminal
from legato.lab.calibration import Fitted
from legato.lab.confidence import Judged
from legato.lab.evaluate.data import Data, finish
from legato.lab.evaluate.models import Model
from legato.lab.evaluate.run import Condition, run
from legato.lab.evaluate.scored import score
from legato.lab.evaluate.source import read_source
from legato.lab.evaluate.tables import confidence_columns, percent
from legato.lab.normalize import Choice
from legato.runtime.cores import default_threads


@dataclass(frozen=True, slots=True)
class Recordings:
    """The recordings of a calibration as they were asked for; see the options of the command."""

    sources: tuple[Path, ...]
    chunks: tuple[int, ...]
    default_language: str | None
    limit: int | None
    normalizer: str


def recognized(model: Model, asked: Recordings, threads: int | None) -> tuple[list[Judged], list[str]]:
    """Recognize the recordings; return the judged words of each sentence, and what was left out and why."""
    data = Data()
    for source in asked.sources:
        data.add(read_source(source, language=asked.default_language))
    data = finish(data, asked.limit)
    conditions = [Condition(chunk, "manifest") for chunk in asked.chunks]
    with TemporaryDirectory() as folder, work_bar() as progress:
        outcome = run(
            [model], data.utterances, conditions, threads=threads or default_threads(model.bundle.path),
            folder=Path(folder), progress=progress,
        )  # fmt: skip
    scored, empty = score(outcome.results, Choice(asked.normalizer))
    sentences: dict[tuple[str, float | None, float | None], list[Judged]] = {}
    for item in scored:  # a recording is in the same half with every chunk size, and however often it is given
        utterance = item.result.utterance
        sentences.setdefault((utterance.sha256, utterance.offset, utterance.duration), []).append(item.judged)
    problems = [str(problem) for problem in (*data.problems, *outcome.problems, *empty)]
    return [Judged.join(parts) for parts in sentences.values()], problems


def print_fitted(fitted: Fitted, *, named: bool) -> None:
    """Print what the calibration is worth; `named`: the user chose the method."""
    console, chosen = Terminal(), fitted.calibration.method
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("confidence", "words", "right, %", "ECE, %", "NCE", "log-loss"):
        table.add_column(column, no_wrap=True)
    table.add_row("raw", *confidence_columns(fitted.raw), f"{fitted.losses['raw']:.4f}")
    held_out = [*confidence_columns(fitted.held_out), f"{fitted.losses[chosen]:.4f}"]
    table.add_row(f"{chosen}, held out", *held_out)
    console.print(table)
    other = next(name for name in fitted.losses if name not in {"raw", chosen})
    why = "as requested" if named else f"its log-loss on held-out sentences is {fitted.losses[chosen]:.4f}"
    console.print(f"Method: {chosen}, {why}; that of {other} is {fitted.losses[other]:.4f}.")
    marks = fitted.calibration.marks(calibrated=False)
    console.print(
        f"Raw confidences below {marks.unsure:.4f} are wrong in at least half of the cases, below {marks.doubtful:.4f} "
        "in at least one of five."
    )
    rows = ", ".join(
        f"{each['threshold']:g}: {percent(each['kept'])} and {percent(each['wrong'])}"
        for each in fitted.held_out["kept"] if each["threshold"] in {0.5, 0.8, 0.9, 0.95}
    )  # fmt: skip
    console.print(f"Words kept and wrong words among them, in %, by calibrated confidence: {rows}.")
