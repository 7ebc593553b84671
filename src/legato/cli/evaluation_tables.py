"""The tables of `legato evaluate` on the terminal."""

import os
from collections import Counter
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from legato.cli.terminal import Terminal
from legato.lab.evaluate.cells import REFERENCE
from legato.lab.evaluate.tables import (
    confidence_columns,
    has_words,
    kept_columns,
    language_name,
    mean_rate,
    mode_name,
    percent,
    pooled,
    resources,
    spread,
)

#: The columns of `resources` that a terminal has room for.
_RESOURCES = ("Model", "Precision", "Bundle, MB", "Peak RSS, MB", "RTF", "Load, s")


def print_report(report: dict[str, Any]) -> None:
    """Print the tables of a report. They fit into 80 columns, unless names are long."""
    console = _terminal()
    for model in report["models"]:
        for mode in report["settings"]["language"]:
            table = _rates_table(report, model, mode, intervals=True)
            if console.measure(table).maximum > console.width:
                table = _rates_table(report, model, mode, intervals=False)
            console.print(table)
    console.print(_conditions_table(report))
    if any(cell["kept"] and cell["kept"]["against"] != REFERENCE for cell in report["cells"]):
        console.print(_kept_table(report))
    if any(cell["confidence"]["raw"] for cell in report["cells"]):
        console.print(_confidence_table(report))
    console.print(_resources_table(report))
    counts = report["counts"]
    console.print(
        f"{counts['scored']} utterances scored, {counts['left_out']} left out of {counts['read']}. Rates in %, lower "
        "is better. First, final: latency of the first and the last token, p50 / p95 in seconds of audio."
    )


def print_verdict(comparisons: list[dict[str, Any]]) -> None:
    """Print what the comparison with the baseline found, in a sentence."""
    counts = Counter(entry["verdict"] for entry in comparisons)
    found = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("worse", "better", "same"))
    better = dict.fromkeys(entry["language"] for entry in comparisons if entry["verdict"] == "better")
    named = f" Better: {', '.join(better)}." if better else ""
    _terminal().print(f"Against the baseline, of {len(comparisons)} rates: {found}.{named}")


def _terminal() -> Terminal:
    """Return the terminal; a file has 100 columns."""
    console = Terminal()
    return console if console.is_terminal or "COLUMNS" in os.environ else Terminal(width=100)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number > 0, overflow="fold")
    return table


def _rates_table(report: dict[str, Any], model: dict[str, Any], mode: str, *, intervals: bool) -> Table:
    """Return the rates of one model in one mode: a row per language, a column per chunk size.

    With a single chunk size all rates are shown, otherwise the headline rate.
    """
    chunks = report["settings"]["chunk_ms"]
    kinds = ("wer", "cer", "raw_wer", "raw_cer") if len(chunks) == 1 else ()
    name = " ".join(filter(None, (model["label"], model["precision"], model["recipe"])))
    titles = (kind.replace("_", " ").replace("wer", "WER").replace("cer", "CER") for kind in kinds)
    columns = ("language", "utt.", "rate", *(f"{chunk} ms" for chunk in chunks), *titles)
    table = _table(f"{name}, language {mode_name(mode)}", *columns)
    rows: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for cell in report["cells"]:
        if (cell["model"], cell["mode"]) == (model["label"], mode):
            rows.setdefault((cell["language"], cell["subset"]), {})[cell["chunk_ms"]] = cell
    for (language, subset), cells in rows.items():
        some = next(iter(cells.values()))
        rates = (_rate(cells.get(chunk), intervals=intervals) for chunk in chunks)
        there = [kind for kind in kinds if has_words(language) or kind.endswith("cer")]
        more = (percent(some[kind]["rate"]) if kind in there and some[kind] else "–" for kind in kinds)
        table.add_row(language_name(language, subset), str(some["utterances"]), some["headline"].upper(), *rates, *more)
    return table


def _conditions_table(report: dict[str, Any]) -> Table:
    """Return the figures of all languages together: a row per model and condition."""
    columns = ("model", "chunk", "lang.", "mean", "found", "first", "final", "RTF")
    table = _table("all languages together", *columns)
    for cell in pooled(report):
        accuracy = cell["language_accuracy"]
        table.add_row(
            cell["model"],
            str(cell["chunk_ms"]),
            mode_name(cell["mode"]),
            percent(mean_rate(report, cell["model"], cell["chunk_ms"], cell["mode"])),
            "" if accuracy is None else f"{100 * accuracy['rate']:.1f} %",
            spread(cell["first_token_latency"]),
            spread(cell["final_latency"]),
            "–" if cell["rtf"] is None else f"{cell['rtf']:.3f}",
        )
    return table


def _kept_table(report: dict[str, Any]) -> Table:
    """Return the words kept of all languages together: a row per model and condition."""
    table = _table(
        "words kept, % (gap: longest time without text in s, and that of FP32)",
        "model", "chunk", "lang.", "words", "lowest", "first", "last", "gap", "language",
    )  # fmt: skip
    for cell in pooled(report):
        if cell["kept"]:
            columns = kept_columns(cell["kept"])
            table.add_row(cell["model"], str(cell["chunk_ms"]), mode_name(cell["mode"]), *columns)
    return table


def _confidence_table(report: dict[str, Any]) -> Table:
    """Return what the confidences of all languages are worth: a row per model, condition and scale."""
    marks = ("0.5", "0.9")
    table = _table(
        "confidence, % (from 0.5: words with this confidence or more / wrong ones there)",
        "model", "chunk", "lang.", "scale", "words", "right", "ECE", *(f"from {mark}" for mark in marks),
    )  # fmt: skip
    for cell in pooled(report):
        for scale, found in cell["confidence"].items():
            if found:
                kept = [each for each in found["kept"] if f"{each['threshold']:g}" in marks]
                shares = (f"{100 * each['kept']:.0f} / {100 * (each['wrong'] or 0):.1f}" for each in kept)
                place = cell["model"], f"{cell['chunk_ms']}", mode_name(cell["mode"]), scale
                table.add_row(*place, *confidence_columns(found)[:-1], *shares)
    return table


def _resources_table(report: dict[str, Any]) -> Table:
    header, rows = resources(report)
    table = _table("resources", *_RESOURCES)
    for row in rows:
        table.add_row(*(row[header.index(column)] for column in _RESOURCES))
    return table


def _rate(cell: dict[str, Any] | None, *, intervals: bool) -> str:
    rate = cell and cell[cell["headline"]]
    if not rate:
        return "–"
    text = f"{100 * rate['rate']:.2f}"
    return f"{text} ({100 * rate['low']:.1f}–{100 * rate['high']:.1f})" if intervals else text
