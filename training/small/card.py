"""Print the tables of the model card from the folder that `legato evaluate --split-by part` wrote about `test.jsonl`.

    python -m training.small.card REPORT [--before REPORT]

Both folders are of one model, one chunk size and one language mode. First a row per part and language: clips, CER in %
with its 95 % interval, that of the model before, WER, and the CER of the part's first clips in each condition. Then
the WER of the spoken numbers in lower case without marks, because Whisper's English normalizer joins number words.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from legato.lab.markdown import table
from legato.lab.normalize import LETTERS
from legato.lab.scoring import distance
from training.small.conditions import CONDITIONS
from training.small.parts import SPEAKERS

Cell = dict[str, Any]

NAMES = {
    "en-US": "English",
    "de-DE": "German",
    "fr-FR": "French",
    "es-ES": "Spanish",
    "it-IT": "Italian",
    "hi-IN": "Hindi",
    "ja-JP": "Japanese",
}
PARTS = ("synthesised", "real", "unheard", "readers", SPEAKERS)


def cells_of(folder: Path) -> dict[tuple[str, str], Cell]:
    """Return the cells of a report by part and language."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {(cell["subset"], cell["language"]): cell for cell in report["cells"] if cell["subset"]}


def rate(cell: Cell | None, key: str, interval: bool = False) -> str:
    """Return a rate in %, or nothing if it was not measured."""
    found = cell and cell[key]
    if not found:
        return ""
    bounds = f" ({100 * found['low']:.1f} to {100 * found['high']:.1f})" if interval else ""
    return f"{100 * found['rate']:.1f}{bounds}"


def number_errors(folder: Path) -> dict[str, float]:
    """Return the word error rate of the spoken numbers by language, and over all."""
    wrong, spoken = Counter[str](), Counter[str]()
    for line in (folder / "utterances.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["subset"] == "numbers":
            reference, hypothesis = (LETTERS(entry[key]).split() for key in ("reference", "hypothesis"))
            for language in (entry["language"], "all"):
                wrong[language] += distance(reference, hypothesis)
                spoken[language] += len(reference)
    return {language: wrong[language] / count for language, count in spoken.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--before", type=Path, help="the same of the model before")
    arguments = parser.parse_args()
    cells = cells_of(arguments.report)
    before = cells_of(arguments.before) if arguments.before else {}
    rows = [
        [
            part,
            name,
            str(cell["utterances"]),
            rate(cell, "cer", interval=True),
            rate(before.get((part, language)), "cer"),
            rate(cell, "wer"),
            *(rate(cells.get((f"{part}, {condition}", language)), "cer") for condition in CONDITIONS),
        ]
        for part in PARTS
        for language, name in NAMES.items()
        if (cell := cells.get((part, language)))
    ]
    header = ["part", "language", "clips", "CER", "the model before", "WER", *CONDITIONS]
    print(table(header, rows), end="\n\n")
    errors = number_errors(arguments.report)
    numbers = {name: f"{100 * errors[key]:.1f}" for key, name in [*NAMES.items(), ("all", "all")] if key in errors}
    print(table(["spoken numbers", *numbers], [["WER", *numbers.values()]]))


if __name__ == "__main__":
    main()
