"""The gate: is a language significantly worse than in an earlier report?"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from legato.errors import EvaluationError
from legato.lab.bootstrap import Difference, holm, paired_difference, unpaired_difference
from legato.lab.evaluate.report import ALL

#: One-sided chance of an alarm without cause, in a whole run: that of lying above a 95 % interval.
ALARM = 0.025

ABOUT = (
    "Each cell is compared with that of the same language, chunk size and mode in the baseline: paired bootstrap on "
    f"the utterances that both have, one-sided p-values after Holm, worse below {ALARM}."
)


@dataclass(frozen=True)
class Comparison:
    """A cell against that of the baseline.

    Attributes:
        model, chunk_ms, mode, language, subset, headline: of the cell.
        baseline_model: that it is compared with.
        old, new: headline rates on the utterances compared.
        utterances: that were compared.
        paired: whether both runs had them.
        difference: new less old, with interval.
        p_worse, p_better: after Holm.
        verdict: worse, better or same.
    """

    model: str
    baseline_model: str
    chunk_ms: int
    mode: str
    language: str
    subset: str
    headline: str
    old: float
    new: float
    utterances: int
    paired: bool
    difference: Difference
    p_worse: float
    p_better: float

    @property
    def verdict(self) -> str:
        """Whether it got worse."""
        if self.p_worse < ALARM:
            return "worse"
        return "better" if self.p_better < ALARM else "same"

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "verdict": self.verdict}


def read_baseline(path: Path) -> dict[str, Any]:
    """Read an earlier report; a folder is that of its report.json.

    Raises:
        EvaluationError: it is not one.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        report = json.loads(file.read_text("utf-8"))
        cells = report["cells"]
        if not cells or not all("utterance_counts" in cell for cell in cells if cell["language"] != ALL):
            raise ValueError("it has no cells to compare with")
    except FileNotFoundError:
        raise EvaluationError(f"{file}: there is no such report. Give the report.json of an earlier run.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"{file}: not a report of 'legato evaluate' ({error}). Give the report.json of an earlier run."
        ) from None
    assert isinstance(report, dict)
    return report


def compare(report: dict[str, Any], baseline: dict[str, Any]) -> list[Comparison]:
    """Compare every cell that the baseline has, too.

    Models are matched by label; where each report has one model only, those two are compared whatever they are called.

    Raises:
        EvaluationError: nothing can be compared, or the texts of a language were normalised in another way.
    """
    _check_normalizers(report, baseline)
    old_labels = [model["label"] for model in baseline["models"]]
    new_labels = [model["label"] for model in report["models"]]
    names = {label: label for label in new_labels if label in old_labels}
    if len(old_labels) == len(new_labels) == 1:
        names = {new_labels[0]: old_labels[0]}
    earlier = {_place(cell): cell for cell in baseline["cells"]}
    pairs = []
    for cell in report["cells"]:
        old = earlier.get((names.get(cell["model"]), *_place(cell)[1:]))
        if old is not None and cell["language"] != ALL:
            pairs.append((old, cell))
    found = [(old, new, *_difference(old, new)) for old, new in pairs]
    usable = [(old, new, *difference) for old, new, *difference in found if difference[0] is not None]
    if not usable:
        raise EvaluationError(
            "Nothing can be compared with the baseline: no model, chunk size, mode and language are in both. "
            f"It has the models {', '.join(old_labels)}."
        )
    worse = holm([entry[2].p_worse for entry in usable])
    better = holm([entry[2].p_better for entry in usable])
    return [
        Comparison(
            model=new["model"],
            baseline_model=old["model"],
            chunk_ms=new["chunk_ms"],
            mode=new["mode"],
            language=new["language"],
            subset=new["subset"],
            headline=new["headline"],
            old=rates[0],
            new=rates[1],
            utterances=utterances,
            paired=paired,
            difference=difference,
            p_worse=p_worse,
            p_better=p_better,
        )
        for (old, new, difference, rates, utterances, paired), p_worse, p_better in zip(
            usable, worse, better, strict=True
        )
    ]


def _check_normalizers(report: dict[str, Any], baseline: dict[str, Any]) -> None:
    before = {language: entry["name"] for language, entry in baseline.get("normalizers", {}).items()}
    for language, entry in report["normalizers"].items():
        old = before.get(language, entry["name"])
        if old != entry["name"]:
            raise EvaluationError(
                f"{language}: the baseline's texts were normalised by {old}, these by {entry['name']}, so that their "
                "error rates do not compare. Give the --normalizer of the baseline."
            )


def _place(cell: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[key] for key in ("model", "chunk_ms", "mode", "language", "subset"))


def _difference(old: dict[str, Any], new: dict[str, Any]) -> tuple[Difference | None, tuple[float, float], int, bool]:
    """Difference, both rates, utterances, and whether they are the same ones."""
    before, after = old["utterance_counts"], new["utterance_counts"]
    shared = [name for name in after if name in before]
    if shared:
        first, second = [before[name] for name in shared], [after[name] for name in shared]
        difference = paired_difference(
            *_columns(first)[:1], _columns(second)[0], _columns(first)[1], new_totals=_columns(second)[1]
        )
    else:
        first, second = list(before.values()), list(after.values())
        difference = unpaired_difference(*_columns(first), *_columns(second))
    rates = tuple(sum(errors) / sum(totals) for errors, totals in (_columns(first), _columns(second)))
    return difference, (rates[0], rates[1]), len(second), bool(shared)


def _columns(counts: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [entry[0] for entry in counts], [entry[1] for entry in counts]
