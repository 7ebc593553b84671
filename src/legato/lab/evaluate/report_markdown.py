"""The report as a model card in Markdown."""

from collections.abc import Sequence
from typing import Any

from legato.lab.evaluate.report import ALL, headline, percent
from legato.lab.scoring import UNSPACED_LANGUAGES, base

#: The chunk size of the card's first table, if it was run.
_CARD_MS = 320

Row = Sequence[str]


def to_markdown(report: dict[str, Any]) -> str:
    """Give the whole card."""
    parts = [
        f"# Evaluation, {report['created'][:10]}",
        _about(report),
        f"## {_card_title(report)}",
        table(*card(report)),
        "WER and CER in %, lower is better; the interval at 95 % stands behind the language's headline rate "
        "(CER for ja, ko, zh, th).",
        "## Resource profile",
        table(*resources(report)),
        "## All conditions",
        table(*conditions(report)),
        *_gate(report),
        *_left_out(report),
        "## How it was done",
        _methods(report),
    ]
    return "\n\n".join(parts) + "\n"


def card(report: dict[str, Any]) -> tuple[Row, list[Row]]:
    """The card's table: languages, and WER and CER of each model at one chunk size with one mode."""
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
    """Chunk size and mode of the card: 320 ms and the language given, or the nearest to it that was run."""
    there = [(cell["chunk_ms"], cell["mode"]) for cell in report["cells"]]
    return min(there, key=lambda place: (place[1] != "manifest", abs(place[0] - _CARD_MS)))


def column_titles(models: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Label -> title: the precision where it tells the models apart, with the recipe or the label where it does not."""
    precisions = [model["precision"].upper() for model in models]
    recipes = [
        f"{precision} {model['recipe'] or ''}".strip() for precision, model in zip(precisions, models, strict=True)
    ]
    labels = [f"{model['label']} {precision}" for precision, model in zip(precisions, models, strict=True)]
    titles = next((names for names in (precisions, recipes, labels) if len(set(names)) == len(names)), labels)
    return {model["label"]: title for model, title in zip(models, titles, strict=True)}


def mean_rate(report: dict[str, Any], model: str, chunk_ms: int, mode: str) -> float | None:
    """Plain mean of the languages' headline rates, as published tables give it."""
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
    """Size, memory and speed of each model."""
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
    """Every cell as a row."""
    header = ["Model", "Chunk", "Language is", "Language", "Utt.", "WER", "95 %", "S/D/I", "CER", "95 %", "S/D/I"]
    header += ["Raw WER", "Raw CER", "Lang. found", "First token p50/p95, s", "Final p50/p95, s", "RTF"]
    return header, [condition_row(cell) for cell in report["cells"]]


def condition_row(cell: dict[str, Any]) -> Row:
    """A cell as a row of `conditions`."""
    words = cell["wer"] if has_words(cell["language"]) else None
    raw = cell["raw_wer"] if has_words(cell["language"]) else None
    accuracy = cell["language_accuracy"]
    return [
        cell["model"],
        f"{cell['chunk_ms']} ms",
        mode_name(cell["mode"]),
        language_name(cell["language"], cell["subset"]),
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


def comparisons(report: dict[str, Any]) -> tuple[Row, list[Row]]:
    """Every cell against that of the baseline."""
    header = ["Model", "Chunk", "Language is", "Language", "Rate", "Before", "Now", "Difference", "95 %"]
    header += ["p worse", "Verdict"]
    rows: list[Row] = [
        [
            entry["model"],
            f"{entry['chunk_ms']} ms",
            mode_name(entry["mode"]),
            language_name(entry["language"], entry["subset"]),
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
    """Whether words mean something in a language."""
    return base(language) not in UNSPACED_LANGUAGES


def language_name(language: str, subset: str) -> str:
    """For a table."""
    return f"{language}, {subset}" if subset else language


def mode_name(mode: str) -> str:
    """For a table."""
    return "found" if mode == "auto" else "given"


def spread(values: dict[str, float] | None) -> str:
    """Median and 95th percentile."""
    return "–" if values is None else f"{values['p50']:.2f} / {values['p95']:.2f}"


def table(header: Row, rows: Sequence[Row]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_escaped(text) for text in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


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


def _card_title(report: dict[str, Any]) -> str:
    chunk_ms, mode = card_condition(report)
    return f"Error rates at {chunk_ms} ms, language {mode_name(mode)}"


def _about(report: dict[str, Any]) -> str:
    counts, machine, settings = report["counts"], report["machine"], report["settings"]
    limit = f", the first {settings['limit']} of each language" if settings.get("limit") else ""
    lines = [
        f"- Data: {', '.join(settings['data'])}{limit}: {counts['scored']} utterances scored, "
        f"{counts['left_out']} left out of {counts['read']}",
        f"- Models: {', '.join(model['label'] for model in report['models'])}",
        f"- Legato {report['legato']}, onnxruntime {report['onnxruntime']}, {machine['cpu']}, "
        f"{machine['threads']} thread{'s' if machine['threads'] != 1 else ''}",
    ]
    return "\n".join(lines)


def _methods(report: dict[str, Any]) -> str:
    lines = [f"- {name.capitalize()}: {text}" for name, text in report["methods"].items()]
    lines += [f"- Normaliser of {language}: `{normal['name']}`. {normal['about']}"
              for language, normal in report["normalizers"].items()]  # fmt: skip
    return "\n".join([*lines, "- Every utterance with its counts is in `utterances.jsonl`."])


def _gate(report: dict[str, Any]) -> list[str]:
    baseline = report.get("baseline")
    if baseline is None:
        return []
    return ["## Against the baseline", baseline["about"], table(*comparisons(report))]


def _left_out(report: dict[str, Any]) -> list[str]:
    if not report["left_out"]:
        return []
    return ["## Left out", "\n".join(f"- {entry['place']}: {entry['reason']}" for entry in report["left_out"])]
