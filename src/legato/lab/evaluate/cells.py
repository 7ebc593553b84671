"""The cells of a report: the figures of one model in one condition on one language."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from legato.lab.bootstrap import interval
from legato.lab.confidence import Judged, describe
from legato.lab.evaluate.models import Model
from legato.lab.evaluate.run import Condition
from legato.lab.evaluate.scored import UNKNOWN, Scored, headline, latency
from legato.lab.kept import total
from legato.lab.scoring import UNSPACED_LANGUAGES, Counts, add, base

#: The language of the cell that counts all languages together.
ALL = "all"
#: What the words of a model are compared with if it is in FP32, or no model in FP32 is in the run.
REFERENCE = "reference"


def cells_of(
    scored: Sequence[Scored], models: Sequence[Model], conditions: Sequence[Condition]
) -> list[dict[str, Any]]:
    """Return a cell per model, condition and language, per subset of a language, and for all languages together."""
    groups: dict[tuple[str, Condition, str, str], list[Scored]] = defaultdict(list)
    for item in scored:
        model, condition = item.result.model.label, item.result.condition
        groups[model, condition, item.language, ""].append(item)
        if subset := item.result.utterance.subset:
            groups[model, condition, item.language, subset].append(item)
        groups[model, condition, ALL, ""].append(item)
    wanted = [(model.label, condition) for model in models for condition in conditions]
    order = {place: number for number, place in enumerate(wanted)}
    keys = sorted(groups, key=lambda key: (order[key[0], key[1]], key[2] == ALL, key[2], key[3]))
    several = len({item.language for item in scored}) > 1
    exact = next((model.label for model in models if model.bundle.precision == "fp32"), REFERENCE)
    complete = {_place(item): item for item in scored if item.result.model.label == exact}
    precisions = {model.label: model.bundle.precision for model in models}
    cells = []
    for key in (key for key in keys if several or key[2] != ALL):
        items, against = groups[key], REFERENCE if precisions[key[0]] == "fp32" else exact
        cells.append(_cell(*key, items) | {"kept": _kept(items, against, complete), "confidence": _confidence(items)})
    return cells


def _confidence(items: Sequence[Scored]) -> dict[str, Any]:
    """Return what the confidences of words are worth, raw and calibrated; None where that cannot be said."""
    judged = Judged.join(item.judged for item in items)
    calibration = items[0].result.model.bundle.calibration
    found: dict[str, Any] = {"raw": describe(judged), "calibrated": None}
    if calibration is not None:
        found["calibrated"] = describe(Judged(calibration.probabilities(judged.confidences), judged.right))
    return found


def _place(item: Scored) -> tuple[Condition, str]:
    return item.result.condition, item.result.utterance.id


def _kept(
    items: Sequence[Scored], against: str, complete: Mapping[tuple[Condition, str], Scored]
) -> dict[str, Any] | None:
    """Return the words kept of the texts of the model `against`; None if nothing can be compared."""
    if against == REFERENCE:
        found = total([one for item in items if (one := item.kept(None))])
    else:
        pairs = [(item, complete[_place(item)]) for item in items if _place(item) in complete]
        found = total([one for item, other in pairs if (one := item.kept(other))])
    return None if found is None else {"against": against, **asdict(found)}


def _cell(model: str, condition: Condition, language: str, subset: str, items: list[Scored]) -> dict[str, Any]:
    recognitions = [item.result.recognition for item in items]
    audio = sum(recognition.duration for recognition in recognitions)
    # Only languages with words count for a word error rate over several languages.
    spaced = [item for item in items if base(item.language) not in UNSPACED_LANGUAGES]
    cell: dict[str, Any] = {
        "model": model,
        "chunk_ms": condition.chunk_ms,
        "mode": condition.mode,
        "language": language,
        "subset": subset,
        "utterances": len(items),
        "seconds": round(audio, 2),
        "headline": headline(language),
        "wer": _rate(spaced, lambda item: item.words),
        "cer": _rate(items, lambda item: item.characters),
        "raw_wer": _rate(spaced, lambda item: item.raw_words),
        "raw_cer": _rate(items, lambda item: item.raw_characters),
        "rtf": round(sum(recognition.seconds for recognition in recognitions) / audio, 4) if audio else None,
        "first_token_latency": _spread([latency(r.first_token, r.speech_start) for r in recognitions]),
        "final_latency": _spread([latency(r.last_token, r.speech_end) for r in recognitions]),
        "finish_ms": _spread([1000 * r.finish_seconds for r in recognitions]),
        "language_accuracy": None,
    }
    if condition.mode == "auto":
        judged = [item for item in items if item.language != UNKNOWN]
        right = [float(base(item.result.recognition.detected) == base(item.language)) for item in judged]
        bounds = interval(right, [1] * len(right)) if right else None
        if bounds is not None:
            cell["language_accuracy"] = {
                "right": round(sum(right)),
                "of": len(right),
                "rate": sum(right) / len(right),
                "low": bounds.low,
                "high": bounds.high,
            }
    if language != ALL:  # needed by a later run to compare utterance by utterance
        cell["utterance_counts"] = {
            item.result.utterance.id: [item.headline.errors, item.headline.reference] for item in items
        }
    return cell


def _rate(items: Sequence[Scored], pick: Callable[[Scored], Counts]) -> dict[str, Any] | None:
    """Return counts, rate and interval; None without a reference."""
    counts = [pick(item) for item in items]
    total = add(counts)
    bounds = interval([c.errors for c in counts], [c.reference for c in counts]) if total.reference else None
    if total.rate is None or bounds is None:
        return None
    return {**asdict(total), "reference": total.reference, "rate": total.rate, "low": bounds.low, "high": bounds.high}


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    there = [value for value in values if value is not None]
    if not there:
        return None
    p50, p95 = (round(float(np.percentile(there, share)), 3) for share in (50, 95))
    return {"p50": p50, "p95": p95, "mean": round(float(np.mean(there)), 3), "utterances": len(there)}
