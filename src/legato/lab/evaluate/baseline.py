"""The gate: is a language significantly worse than in an earlier report?"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from legato.errors import EvaluationError
from legato.files import read_regular
from legato.lab.bootstrap import Difference, holm, paired_difference, unpaired_difference
from legato.lab.evaluate.cells import ALL

#: One-sided probability of a false alarm in a whole run: that of a value above a 95 % interval.
ALARM = 0.025

ABOUT = (
    "Each cell is compared with that of the same language, chunk size and mode in the baseline: paired bootstrap on "
    f"the utterances that both have, one-sided p-values after Holm's correction, worse below {ALARM}."
)


@dataclass(frozen=True)
class Comparison:
    """A cell compared with that of the baseline.

    Attributes:
        model, chunk_ms, mode, language, subset, headline: of the cell.
        baseline_model: the model in the baseline.
        old, new: headline rates on the compared utterances.
        utterances: number of compared utterances.
        paired: whether both runs have them.
        difference: new rate minus old rate, with interval.
        p_worse, p_better: after Holm's correction.
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
        """`worse`, `better` or `same`."""
        if self.p_worse < ALARM:
            return "worse"
        return "better" if self.p_better < ALARM else "same"

    def values(self) -> dict[str, Any]:
        """Return all fields and the verdict as plain values."""
        return {**asdict(self), "verdict": self.verdict}


def read_baseline(path: Path) -> dict[str, Any]:
    """Read an earlier report: the file, or the folder that contains report.json.

    Raises:
        EvaluationError: it is not a report.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        report = json.loads(read_regular(file, 10**9))
        cells = report["cells"]
        if not cells or not all("utterance_counts" in cell for cell in cells if cell["language"] != ALL):
            raise ValueError("it has no cells to compare with")
    except FileNotFoundError:
        raise EvaluationError(f"{file}: there is no such report. Give the report.json of an earlier run.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise EvaluationError(
            f"{file}: not a report of 'legato evaluate' ({error}). Give the report.json of an earlier run."
        ) from None
    assert isinstance(report, dict)
    return report


def compare(report: dict[str, Any], baseline: dict[str, Any]) -> list[Comparison]:
    """Compare every cell that the baseline has as well.

    Models are matched by label. If each report has only one model, the two are compared whatever their labels are.

    Raises:
        EvaluationError: nothing can be compared, or the texts of a language were normalized in another way.
    """
    _check_normalizers(report, baseline)
    found = [(old, new, measured) for old, new in _pairs(report, baseline) if (measured := _measure(old, new))]
    if not found:
        raise EvaluationError(
            "Nothing can be compared with the baseline: no model, chunk size, mode and language are in both. "
            f"It has the models {', '.join(model['label'] for model in baseline['models'])}."
        )
    worse = holm([measured.difference.p_worse for _, _, measured in found])
    better = holm([measured.difference.p_better for _, _, measured in found])
    return [
        Comparison(
            **{key: new[key] for key in ("model", "chunk_ms", "mode", "language", "subset", "headline")},
            baseline_model=old["model"],
            **measured._asdict(),
            p_worse=p_worse,
            p_better=p_better,
        )
        for (old, new, measured), p_worse, p_better in zip(found, worse, better, strict=True)
    ]


def _pairs(report: dict[str, Any], baseline: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield cells of the baseline and of the report that belong together."""
    old_labels = [model["label"] for model in baseline["models"]]
    new_labels = [model["label"] for model in report["models"]]
    names = {label: label for label in new_labels if label in old_labels}
    if len(old_labels) == len(new_labels) == 1:
        names = {new_labels[0]: old_labels[0]}
    earlier = {_condition(cell["model"], cell): cell for cell in baseline["cells"]}
    for cell in report["cells"]:
        old = earlier.get(_condition(names.get(cell["model"]), cell))
        if old is not None and cell["language"] != ALL:
            yield old, cell


def _check_normalizers(report: dict[str, Any], baseline: dict[str, Any]) -> None:
    before = {language: entry["name"] for language, entry in baseline.get("normalizers", {}).items()}
    for language, entry in report["normalizers"].items():
        old = before.get(language, entry["name"])
        if old != entry["name"]:
            raise EvaluationError(
                f"{language}: the baseline's texts were normalized by {old}, these by {entry['name']}, so their error "
                "rates cannot be compared. Give the --normalizer of the baseline."
            )


def _condition(model: str | None, cell: dict[str, Any]) -> tuple[Any, ...]:
    return (model, *(cell[key] for key in ("chunk_ms", "mode", "language", "subset")))


class _Measured(NamedTuple):
    old: float
    new: float
    utterances: int
    paired: bool
    difference: Difference


def _measure(old: dict[str, Any], new: dict[str, Any]) -> _Measured | None:
    """Return both rates and their difference on the shared utterances, or on all if none is shared."""
    before, after = old["utterance_counts"], new["utterance_counts"]
    shared = [name for name in after if name in before]
    old_errors, old_totals = _columns([before[name] for name in shared] or list(before.values()))
    new_errors, new_totals = _columns([after[name] for name in shared] or list(after.values()))
    if shared:
        difference = paired_difference(old_errors, new_errors, old_totals, new_totals=new_totals)
    else:
        difference = unpaired_difference(old_errors, old_totals, new_errors, new_totals)
    if difference is None:
        return None
    rates = sum(old_errors) / sum(old_totals), sum(new_errors) / sum(new_totals)
    return _Measured(*rates, len(new_errors), bool(shared), difference)


def _columns(counts: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [entry[0] for entry in counts], [entry[1] for entry in counts]
