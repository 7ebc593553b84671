"""The tables of `legato evaluate` on the terminal."""

import os
from typing import Any

from rich.console import Console
from rich.table import Table

from legato.lab.evaluate.cells import ALL
from legato.lab.evaluate.tables import has_words, language_name, mean_rate, mode_name, percent, resources, spread


def print_report(report: dict[str, Any]) -> None:
    """Print the tables of a report."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=140)
    for model in report["models"]:
        for mode in report["settings"]["language"]:
            table = _rates_table(report, model, mode, intervals=True)
            if console.measure(table).maximum > console.width:
                table = _rates_table(report, model, mode, intervals=False)
            console.print(table)
    console.print(_conditions_table(report))
    profile = Table(*resources(report)[0], title="resources", title_justify="left")
    for row in resources(report)[1]:
        profile.add_row(*row)
    console.print(profile)
    counts = report["counts"]
    console.print(
        f"{counts['scored']} utterances scored, {counts['left_out']} left out of {counts['read']}. Rates in %, lower "
        "is better. First, final: latency of the first and the last token, p50 / p95 in seconds of audio."
    )


def _rates_table(report: dict[str, Any], model: dict[str, Any], mode: str, *, intervals: bool) -> Table:
    """Return the rates of one model in one mode: a row per language, a column per chunk size.

    With a single chunk size all rates are shown, otherwise the headline rate.
    """
    chunks = report["settings"]["chunk_ms"]
    kinds = ("wer", "cer", "raw_wer", "raw_cer") if len(chunks) == 1 else ()
    name = " ".join(filter(None, (model["label"], model["precision"], model["recipe"])))
    table = Table(title=f"{name}, language {mode_name(mode)}", title_justify="left")
    for column in ("language", "utt.", "rate", *(f"{chunk} ms" for chunk in chunks)):
        table.add_column(column, no_wrap=True)
    for kind in kinds:
        table.add_column(kind.replace("_", " ").replace("wer", "WER").replace("cer", "CER"), no_wrap=True)
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
    table = Table(title="all languages together", title_justify="left")
    for column in ("model", "chunk", "language", "mean", "raw WER", "found", "first", "final", "RTF"):
        table.add_column(column, no_wrap=column != "model")
    pooled = [cell for cell in report["cells"] if cell["language"] == ALL] or report["cells"]
    for cell in pooled:
        accuracy = cell["language_accuracy"]
        table.add_row(
            cell["model"],
            f"{cell['chunk_ms']} ms",
            mode_name(cell["mode"]),
            percent(mean_rate(report, cell["model"], cell["chunk_ms"], cell["mode"])),
            percent(cell["raw_wer"] and cell["raw_wer"]["rate"]),
            "" if accuracy is None else f"{100 * accuracy['rate']:.1f} %",
            spread(cell["first_token_latency"]),
            spread(cell["final_latency"]),
            "–" if cell["rtf"] is None else f"{cell['rtf']:.3f}",
        )
    return table


def _rate(cell: dict[str, Any] | None, *, intervals: bool) -> str:
    rate = cell and cell[cell["headline"]]
    if not rate:
        return "–"
    text = f"{100 * rate['rate']:.2f}"
    return f"{text} ({100 * rate['low']:.1f}–{100 * rate['high']:.1f})" if intervals else text
