"""From recognitions to the report: scored utterances, the cells of the comparison, and what is in report.json."""

import platform
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from legato.lab.bootstrap import RESAMPLES, interval
from legato.lab.evaluate.data import Problem
from legato.lab.evaluate.run import Condition, Model, Outcome, Result
from legato.lab.evaluate.worker import SPEECH_DB
from legato.lab.normalize import Choice, normalizer
from legato.lab.scoring import (
    CHARACTER_LANGUAGES,
    UNSPACED_LANGUAGES,
    Counts,
    add,
    base,
    count_characters,
    count_words,
)
from legato.version import __version__

FORMAT = 1
#: The language of the cell in which all languages are counted together.
ALL = "all"
#: Unknown language, as ISO 639 writes it.
UNKNOWN = "und"
_RATES = ("words", "characters", "raw_words", "raw_characters")

METHODS = {
    "rates": "Micro averages: substitutions, deletions and insertions of all utterances over the units of all "
    "references. Words are what stands between white space; characters are code points, white space counting as one, "
    "except in ja, ko, zh, yue, th, lo, my and km, where it does not count and the CER is the headline.",
    "raw": "Raw rates compare the texts as they are, with case and punctuation.",
    "intervals": f"95 % percentile intervals of {RESAMPLES} bootstrap draws of utterances (seed 0).",
    "latency": "In audio time, so that it does not depend on the machine. First token: audio heard when the first "
    "token of the text was known, less the start of speech. Final: audio heard when the last token was known, less "
    "the end of speech; a negative value says that the text was complete before the sound had died away. Speech is "
    f"where a frame of 20 ms is at most {SPEECH_DB} dB below the loudest one.",
    "rtf": "Real-time factor: seconds of work a second of audio, one live stream, chunk by chunk.",
    "memory": "Peak of the resident memory of a process that runs this model alone, over all its conditions.",
    "language": "Share of utterances for which the model named the right language in auto mode; regions do not count.",
}


@dataclass(frozen=True)
class Scored:
    """A result with its counts.

    Attributes:
        result: what was recognised.
        normalizer: name of the normaliser.
        reference, hypothesis: normalised.
        words, characters: counts on normalised texts.
        raw_words, raw_characters: counts on the texts as they are.
    """

    result: Result
    normalizer: str
    reference: str
    hypothesis: str
    words: Counts
    characters: Counts
    raw_words: Counts
    raw_characters: Counts

    @property
    def language(self) -> str:
        """Of the reference."""
        return self.result.utterance.language or UNKNOWN

    @property
    def headline(self) -> Counts:
        """The counts that are the language's headline."""
        return self.characters if headline(self.language) == "cer" else self.words

    def line(self) -> dict[str, Any]:
        """Everything needed to recompute what is said of this utterance: a line of utterances.jsonl."""
        utterance, recognition, model = self.result.utterance, self.result.recognition, self.result.model
        start, end = recognition.speech_start, recognition.speech_end
        return {
            "id": utterance.id,
            "place": utterance.place,
            "audio": str(utterance.audio),
            "audio_sha256": utterance.sha256,
            "offset": utterance.offset,
            "language": utterance.language,
            "subset": utterance.subset,
            "model": model.label,
            "precision": model.bundle.precision,
            "recipe": model.recipe,
            "chunk_ms": self.result.condition.chunk_ms,
            "mode": self.result.condition.mode,
            "reference": utterance.text,
            "hypothesis": recognition.text,
            "normalizer": self.normalizer,
            "normalized_reference": self.reference,
            "normalized_hypothesis": self.hypothesis,
            **{name: asdict(getattr(self, name)) for name in _RATES},
            "first_token_latency": _less(recognition.first_token, start),
            "final_latency": _less(recognition.last_token, end),
            **{key: value for key, value in asdict(recognition).items() if key != "text"},
        }


def headline(language: str) -> str:
    """`cer` for languages whose headline is the character error rate, else `wer`."""
    return "cer" if base(language) in CHARACTER_LANGUAGES else "wer"


def score(results: Sequence[Result], choice: Choice) -> tuple[list[Scored], list[Problem]]:
    """Score every result; references that are empty once normalised are left out and reported."""
    scored, problems = [], []
    for result in results:
        utterance, text = result.utterance, result.recognition.text
        normal = normalizer(utterance.language, choice)
        reference, hypothesis = normal(utterance.text), normal(text)
        if not reference:
            problem = Problem(utterance.place, "text", f"its text {utterance.text!r} is empty once normalised.")
            if problem not in problems:
                problems.append(problem)
            continue
        scored.append(
            Scored(
                result,
                normal.name,
                reference,
                hypothesis,
                count_words(reference, hypothesis),
                count_characters(reference, hypothesis, utterance.language),
                count_words(utterance.text, text),
                count_characters(utterance.text, text, utterance.language),
            )
        )
    return scored, problems


def build(
    scored: Sequence[Scored],
    outcome: Outcome,
    *,
    models: Sequence[Model],
    conditions: Sequence[Condition],
    choice: Choice,
    read: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The report as plain values; `report.json` is this.

    Args:
        scored: all results.
        outcome: of the run, with everything that was left out.
        models, conditions: of the run, in order.
        choice: of normaliser.
        read: utterances and broken lines that were read.
        settings: what the user asked for, to be kept with the figures.
    """
    left_out = {problem.place for problem in outcome.problems if problem.kind != "model"}
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "legato": __version__,
        "onnxruntime": onnxruntime.__version__,
        "machine": {"cpu": cpu_name(), "system": f"{platform.system()} {platform.machine()}", **_machine(settings)},
        "settings": dict(settings),
        "methods": METHODS,
        "normalizers": _normalizers(scored, choice),
        "models": [_model(model, scored, outcome) for model in models],
        "counts": {
            "read": read,
            "scored": len({item.result.utterance.id for item in scored}),
            "left_out": len(left_out),
        },
        "left_out": [asdict(problem) for problem in outcome.problems],
        "cells": _cells(scored, models, conditions),
    }


def percent(rate: float | None) -> str:
    """A rate for people, without the sign: `4.97`; a dash where there is none."""
    return "–" if rate is None else f"{100 * rate:.2f}"


def cpu_name() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return name or platform.processor() or platform.machine()


def _machine(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"threads": settings.get("threads"), "python": platform.python_version()}


def _normalizers(scored: Sequence[Scored], choice: Choice) -> dict[str, dict[str, str]]:
    found = {}
    for language in sorted({item.language for item in scored}):
        normal = normalizer(None if language == UNKNOWN else language, choice)
        found[language] = {"name": normal.name, "about": normal.about}
    return found


def _model(model: Model, scored: Sequence[Scored], outcome: Outcome) -> dict[str, Any]:
    own = [item.result.recognition for item in scored if item.result.model is model]
    peaks = [recognition.peak_rss_mb for recognition in own if recognition.peak_rss_mb is not None]
    audio = sum(recognition.duration for recognition in own)
    return {
        "label": model.label,
        "name": model.bundle.name,
        "path": str(model.bundle.path),
        "precision": model.bundle.precision,
        "recipe": model.recipe,
        "layout": model.bundle.layout,
        "sha256": model.sha256,
        "size_mb": round(model.size / 1e6, 1),
        "load_seconds": outcome.load_seconds.get(model.label),
        "peak_rss_mb": max(peaks, default=None),
        "rtf": round(sum(recognition.seconds for recognition in own) / audio, 4) if audio else None,
    }


def _cells(scored: Sequence[Scored], models: Sequence[Model], conditions: Sequence[Condition]) -> list[dict[str, Any]]:
    """A cell for every model, condition and language, for its subsets, and for all languages together."""
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
    return [_cell(*key, groups[key]) for key in keys if several or key[2] != ALL]


def _cell(model: str, condition: Condition, language: str, subset: str, items: list[Scored]) -> dict[str, Any]:
    recognitions = [item.result.recognition for item in items]
    audio = sum(recognition.duration for recognition in recognitions)
    # Words mean nothing in languages without spaces: together with others, only those that have words count.
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
        "first_token_latency": _spread([_less(r.first_token, r.speech_start) for r in recognitions]),
        "final_latency": _spread([_less(r.last_token, r.speech_end) for r in recognitions]),
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
    if language != ALL:  # what a later run needs to compare utterance by utterance
        cell["utterance_counts"] = {
            item.result.utterance.id: [item.headline.errors, item.headline.reference] for item in items
        }
    return cell


def _rate(items: Sequence[Scored], pick: Callable[[Scored], Counts]) -> dict[str, Any] | None:
    """Counts, rate and interval; None without a reference."""
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


def _less(heard: float | None, spoken: float | None) -> float | None:
    return None if heard is None or spoken is None else round(heard - spoken, 3)
