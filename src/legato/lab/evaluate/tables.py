"""The rows of a report's tables, for Markdown, HTML and the terminal."""

from collections.abc import Sequence
from typing import Any

from legato.lab.evaluate.cells import ALL, REFERENCE
from legato.lab.evaluate.scored import headline
from legato.lab.markdown import Row
from legato.lab.scoring import UNSPACED_LANGUAGES, base

#: The chunk size of the first table, if it was run.
_CARD_MS = 320


def percent(rate: float | None) -> str:
    """Return a rate in percent, without the sign: `4.97`; a dash for None."""
    return "–" if rate is None else f"{100 * rate:.2f}"


def runtimes(report: dict[str, Any]) -> str:
    """Return the libraries that ran the models, with their versions."""
    return ", ".join(f"{name} {report[name]}" for name in ("onnxruntime", "ai-edge-litert") if name in report)


def card(report: dict[str, Any]) -> tuple[Row, list[Row]]:
    """Return the first table: languages, and WER and CER of each model at one chunk size in one mode."""
    chunk_ms, mode = card_condition(report)
    cells = {
        (cell["model"], cell["language"], cell["subset"]): cell
        for cell in report["cells"]
        if (cell["chunk_ms"], cell["mode"]) == (chunk_ms, mode)
    }
    titles = column_titles(report["models"])
    header = ["Language", "Utterances"]
    for title in titles.values():
        header += [f"{title} WER", f"{title} CER"]
    rows: list[Row] = []
    for language, subset in dict.fromkeys((key[1], key[2]) for key in cells):
        found = [cells.get((label, language, subset)) for label in titles]
        row = [language_name(language, subset), str(next(cell["utterances"] for cell in found if cell))]
        for cell in found:
            row += ["–", "–"] if cell is None else [_card_rate(cell, "wer"), _card_rate(cell, "cer")]
        rows.append(row)
    means = [mean_rate(report, label, chunk_ms, mode) for label in titles]
    if len(rows) > 2:
        row = ["mean of headlines", ""]
        for mean in means:
            row += [percent(mean), ""]
        rows.append(row)
    return header, rows


def card_condition(report: dict[str, Any]) -> tuple[int, str]:
    """Return chunk size and mode of the first table: 320 ms and the language given, or the nearest that was run."""
    there = [(cell["chunk_ms"], cell["mode"]) for cell in report["cells"]]
    return min(there, key=lambda place: (place[1] != "manifest", abs(place[0] - _CARD_MS)))


def column_titles(models: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return label -> title: the precision if it is unique, else with the recipe or the label."""
    precisions = [model["precision"].upper() for model in models]
    recipes = [
        f"{precision} {model['recipe'] or ''}".strip() for precision, model in zip(precisions, models, strict=True)
    ]
    labels = [f"{model['label']} {precision}" for precision, model in zip(precisions, models, strict=True)]
    titles = next((names for names in (precisions, recipes, labels) if len(set(names)) == len(names)), labels)
    return {model["label"]: title for model, title in zip(models, titles, strict=True)}


def mean_rate(report: dict[str, Any], model: str, chunk_ms: int, mode: str) -> float | None:
    """Return the unweighted mean of the languages' headline rates, as published tables report it."""
    rates = [
        cell[cell["headline"]]["rate"]
        for cell in report["cells"]
        if (cell["model"], cell["chunk_ms"], cell["mode"]) == (model, chunk_ms, mode)
        and cell["language"] != ALL
        and not cell["subset"]
        and cell[cell["headline"]]
    ]
    return sum(rates) / len(rates) if rates else None


def resources(report: dict[str, Any]) -> tuple[Row, list[Row]]:
    """Return size, memory and speed of each model."""
    header = ["Model", "Precision", "Recipe", "Layout", "Bundle, MB", "Peak RSS, MB", "RTF", "Load, s"]
    rows: list[Row] = [
        [
            model["label"],
            model["precision"],
            model["recipe"] or "–",
            model["layout"],
            f"{model['size_mb']:.1f}",
            "?" if model["peak_rss_mb"] is None else f"{model['peak_rss_mb']:.0f}",
            "–" if model["rtf"] is None else f"{model['rtf']:.3f}",
            "–" if model["load_seconds"] is None else f"{model['load_seconds']:.2f}",
        ]
        for model in report["models"]
    ]
    return header, rows


def conditions(report: dict[str, Any]) -> tuple[Row, list[Row]]:
    """Return every cell as a row."""
    header = ["Model", "Chunk", "Language is", "Language", "Utt.", "WER", "95 %", "S/D/I", "CER", "95 %", "S/D/I"]
    header += ["Raw WER", "Raw CER", "Lang. found", "First token p50/p95, s", "Final p50/p95, s", "RTF"]
    return header, [condition_row(cell) for cell in report["cells"]]


def condition_row(cell: dict[str, Any]) -> Row:
    """Return a cell as a row of `conditions`."""
    words = cell["wer"] if has_words(cell["language"]) else None
    raw = cell["raw_wer"] if has_words(cell["language"]) else None
    accuracy = cell["language_accuracy"]
    return [
        *_place(cell),
        str(cell["utterances"]),
        *_rate_columns(words),
        *_rate_columns(cell["cer"]),
        percent(raw and raw["rate"]),
        percent(cell["raw_cer"] and cell["raw_cer"]["rate"]),
        "" if accuracy is None else f"{100 * accuracy['rate']:.1f}",
        spread(cell["first_token_latency"]),
        spread(cell["final_latency"]),
        "–" if cell["rtf"] is None else f"{cell['rtf']:.3f}",
    ]


def kept(report: dict[str, Any]) -> tuple[Row, list[Row]]:
    """Return the words that every model kept, a row per cell."""
    header = ["Model", "Chunk", "Language is", "Language", "Compared with", "Words kept, %", "Lowest, %"]
    header += ["First word, %", "Last word, %", "Longest gap, s", "Language kept, %"]
    cells = [cell for cell in report["cells"] if cell["kept"]]
    return header, [[*_place(cell), cell["kept"]["against"], *kept_columns(cell["kept"])] for cell in cells]


def kept_columns(found: dict[str, Any]) -> list[str]:
    """Return words kept, lowest, first word, last word, longest gap, language kept."""
    shares = (found[name] for name in ("share", "lowest", "first", "last"))
    gap = f"{found['gap']:.1f}"
    if found["against"] != REFERENCE:
        gap += f" ({found['complete_gap']:.1f})"
    return [*map(_share, shares), gap, _share(found["language"])]


def confidence(report: dict[str, Any]) -> tuple[Row, list[Row]]:
    """Return what the confidences of words are worth, a row per cell and scale."""
    header = ["Model", "Chunk", "Language is", "Language", "Scale", "Words", "Right, %", "ECE, %", "NCE"]
    rows: list[Row] = [
        [*_place(cell), scale, *confidence_columns(found)]
        for cell in report["cells"]
        for scale, found in cell["confidence"].items()
        if found
    ]
    return header, rows


def confidence_columns(found: dict[str, Any]) -> list[str]:
    """Return words, right words, ECE, NCE."""
    nce = "–" if found["nce"] is None else f"{found['nce']:.3f}"
    return [str(found["words"]), _share(found["right"]), percent(found["ece"]), nce]


def thresholds(report: dict[str, Any]) -> tuple[Row, list[Row]]:
    """Return what each threshold keeps, for every model and all languages in the first table's condition."""
    header = ["Model", "Scale", "Threshold", "Words kept, %", "Wrong among kept, %", "Wrong among others, %"]
    rows: list[Row] = []
    for cell in card_pooled(report):
        for scale, found in cell["confidence"].items():
            for kept in found["kept"] if found else []:
                shares = (kept[name] for name in ("kept", "wrong", "wrong_below"))
                rows.append([cell["model"], scale, f"{kept['threshold']:g}", *map(_share, shares)])
    return header, rows


def card_pooled(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cell of all languages together for every model in the first table's condition."""
    place = card_condition(report)
    return [cell for cell in pooled(report) if (cell["chunk_ms"], cell["mode"]) == place]


def pooled(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells of all languages together."""
    return [cell for cell in report["cells"] if cell["language"] == ALL] or [
        cell for cell in report["cells"] if not cell["subset"]
    ]


def comparisons(report: dict[str, Any]) -> tuple[Row, list[Row]]:
    """Return every cell compared with that of the baseline."""
    header = ["Model", "Chunk", "Language is", "Language", "Rate", "Before", "Now", "Difference", "95 %"]
    header += ["p worse", "Verdict"]
    rows: list[Row] = [
        [
            *_place(entry),
            entry["headline"].upper(),
            percent(entry["old"]),
            percent(entry["new"]),
            f"{100 * entry['difference']['difference']:+.2f}",
            " to ".join(f"{100 * entry['difference']['interval'][end]:+.2f}" for end in ("low", "high")),
            f"{entry['p_worse']:.4f}",
            entry["verdict"],
        ]
        for entry in report["baseline"]["comparisons"]
    ]
    return header, rows


def has_words(language: str) -> bool:
    """Return whether a language has words that white space separates."""
    return base(language) not in UNSPACED_LANGUAGES


def language_name(language: str, subset: str) -> str:
    """Return the name of a language or of its subset."""
    return f"{language}, {subset}" if subset else language


def mode_name(mode: str) -> str:
    """Return `found` or `given`: where the language comes from."""
    return "found" if mode == "auto" else "given"


def method_name(key: str) -> str:
    """Return the title of an entry of the report's methods."""
    return {"rtf": "RTF"}.get(key, key.capitalize())


def spread(values: dict[str, float] | None) -> str:
    """Return median and 95th percentile."""
    return "–" if values is None else f"{values['p50']:.2f} / {values['p95']:.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _place(cell: dict[str, Any]) -> Row:
    """Return what a cell is of: model, chunk size, mode and language."""
    language = language_name(cell["language"], cell["subset"])
    return [cell["model"], f"{cell['chunk_ms']} ms", mode_name(cell["mode"]), language]


def _rate_columns(rate: dict[str, Any] | None) -> list[str]:
    if rate is None:
        return ["–", "", ""]
    errors = f"{rate['substitutions']}/{rate['deletions']}/{rate['insertions']}"
    return [percent(rate["rate"]), f"{100 * rate['low']:.2f}–{100 * rate['high']:.2f}", errors]


def _card_rate(cell: dict[str, Any], kind: str) -> str:
    rate = cell[kind]
    if rate is None or (kind == "wer" and not has_words(cell["language"])):
        return "–"
    if kind != headline(cell["language"]):
        return percent(rate["rate"])
    return f"{percent(rate['rate'])} ({100 * rate['low']:.2f}–{100 * rate['high']:.2f})"
