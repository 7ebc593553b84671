"""The content of `report.json`."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from legato.lab.bootstrap import RESAMPLES
from legato.lab.confidence import BINS
from legato.lab.evaluate.cells import cells_of
from legato.lab.evaluate.models import Model
from legato.lab.evaluate.recognition import SPEECH_DB
from legato.lab.evaluate.run import Condition, Outcome
from legato.lab.evaluate.scored import UNKNOWN, Scored
from legato.lab.machine import cpu_name, runtime_versions
from legato.lab.normalize import Choice, normalizer
from legato.version import __version__

FORMAT = 1

METHODS = {
    "rates": "Micro averages: substitutions, deletions and insertions of all utterances over the units of all "
    "references. Words are separated by white space. Characters are code points; white space counts as one character, "
    "except in ja, ko, zh, yue, th, lo, my and km, where it is left out and the CER is the headline.",
    "raw": "Raw rates compare the texts as they are, with case and punctuation.",
    "intervals": f"95 % percentile intervals of {RESAMPLES} bootstrap draws of utterances (seed 0).",
    "latency": "In audio time, so that it does not depend on the machine. First token: audio accepted when the first "
    "token of the text was emitted, minus the start of speech. Final: audio accepted when the last token was emitted, "
    "minus the end of speech; it is negative if the text was complete before the speech had faded out. Speech is where "
    f"a frame of 20 ms is at most {SPEECH_DB} dB below the loudest frame.",
    "rtf": "Real-time factor: seconds of computation per second of audio, one live stream, chunk by chunk.",
    "memory": "Peak of the resident memory of a process that runs only this model, over all conditions.",
    "words kept": "Words of the text / words of the text of the model in FP32 (for that itself, and where there is "
    "none: of the reference); characters in languages without spaces. Lowest: the smallest share of an utterance of 5 "
    "words or more. First, last word: utterances in whose alignment it is not deleted. Longest gap: the longest time "
    "without a token, and that of FP32. Language kept: tokens of FP32 at whose time the text has the same language.",
    "confidence": "A word of the text is right if it is equal to the word of the reference that it is aligned with, "
    f"each normalized alone. ECE: mean distance between the confidence and the share of right words of {BINS} bins. "
    "NCE: NIST's normalized cross entropy, 1 at best, below 0 if the confidences are worse than none. Calibrated: "
    "by the model's calibration, whose own recordings it suits too well.",
    "language": "Share of utterances for which the model named the right language in auto mode; regions are ignored.",
}


def build(
    scored: Sequence[Scored],
    outcome: Outcome,
    *,
    models: Sequence[Model],
    conditions: Sequence[Condition],
    choice: Choice,
    read: int,
    settings: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the report as plain values: the content of `report.json`.

    Args:
        outcome: outcome of the run, with everything that was left out.
        models, conditions: models and conditions of the run, in order.
        choice: choice of normalizer.
        read: number of utterances and broken lines that were read.
        notes: what a reader should know about the data.
    """
    left_out = {problem.place for problem in outcome.problems if problem.kind != "model"}
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "legato": __version__,
        **runtime_versions({model.bundle.layout for model in models}),
        "machine": {
            "cpu": cpu_name(),
            "system": f"{platform.system()} {platform.machine()}",
            "threads": settings.get("threads"),
            "python": platform.python_version(),
        },
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
        "notes": list(notes),
        "cells": cells_of(scored, models, conditions),
    }


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
