"""Print the tables of the model card from reports of `legato evaluate --split-by part`.

    python -m training.small.card REPORT.json...

One table per mode: CER in % with its 95 % interval, one row per language and part, one column per chunk size and model.
Then WER, the share of right tags with `auto`, and latency, at 320 ms.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from legato.lab.markdown import table

Cell = dict[str, Any]

MODES = {"manifest": "Language given", "auto": "`auto`"}


def percent(rate: dict[str, float] | None) -> str:
    """Return a rate with its interval."""
    if rate is None:
        return ""
    return f"{100 * rate['rate']:.1f} ({100 * rate['low']:.1f} to {100 * rate['high']:.1f})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", type=Path, nargs="+")
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in parser.parse_args().reports]
    cells: dict[tuple[str, str, str, str, int], Cell] = {}
    precisions: dict[str, str] = {}
    for report in reports:
        precisions |= {model["label"]: model["precision"].upper() for model in report["models"]}
        for cell in report["cells"]:
            if cell["subset"]:
                place = cell["language"], cell["subset"], cell["mode"], cell["model"], cell["chunk_ms"]
                cells[place] = cell
    rows = sorted({(part, language) for language, part, *_ in cells})
    chunks = sorted({place[4] for place in cells})
    modes = [mode for mode in MODES if any(place[2] == mode for place in cells)]

    def rate(key: str, row: tuple[str, str], mode: str, label: str, chunk: int) -> str:
        part, language = row
        cell = cells.get((language, part, mode, label, chunk))
        return percent(cell[key]) if cell else ""

    for mode in modes:
        header = [MODES[mode]]
        header += [f"{chunk} ms, {precision}" for chunk in chunks for precision in precisions.values()]
        body = [
            [f"{row[1]}, {row[0]}", *(rate("cer", row, mode, label, chunk) for chunk in chunks for label in precisions)]
            for row in rows
        ]
        print(table(header, body), end="\n\n")
    header = ["320 ms", "utterances", *(f"WER, {precision}" for precision in precisions.values())]
    header += [f"tags right with `auto`, {precision}" for precision in precisions.values()] * ("auto" in modes)
    body = []
    for row in rows:
        given = cells[row[1], row[0], "manifest", next(iter(precisions)), 320]
        line = [f"{row[1]}, {row[0]}", str(given["utterances"])]
        line += [rate("wer", row, "manifest", label, 320) for label in precisions]
        line += [rate("language_accuracy", row, "auto", label, 320) for label in precisions] * ("auto" in modes)
        body.append(line + [f"{given[key]['p50']:.2f}" for key in ("first_token_latency", "final_latency")])
    print(table([*header, "first token, s", "last token, s"], body), end="\n\n")


if __name__ == "__main__":
    main()
