"""The report as a model card in Markdown."""

from typing import Any

from legato.lab.evaluate import tables
from legato.lab.markdown import table


def to_markdown(report: dict[str, Any]) -> str:
    """Return the whole report in Markdown."""
    parts = [
        f"# Evaluation, {report['created'][:10]}",
        _about(report),
        f"## {_card_title(report)}",
        table(*tables.card(report)),
        "WER and CER in %, lower is better; the 95 % interval follows the language's headline rate "
        "(CER for ja, ko, zh, th).",
        "## Resource profile",
        table(*tables.resources(report)),
        "## All conditions",
        table(*tables.conditions(report)),
        "## Words kept",
        table(*tables.kept(report)),
        *_confidence(report),
        *_gate(report),
        *_left_out(report),
        *_notes(report),
        "## Methods",
        _methods(report),
    ]
    return "\n\n".join(parts) + "\n"


def _card_title(report: dict[str, Any]) -> str:
    chunk_ms, mode = tables.card_condition(report)
    return f"Error rates at {chunk_ms} ms, language {tables.mode_name(mode)}"


def _about(report: dict[str, Any]) -> str:
    counts, machine, settings = report["counts"], report["machine"], report["settings"]
    limit = f", the first {settings['limit']} of each language" if settings.get("limit") else ""
    lines = [
        f"- Data: {', '.join(settings['data'])}{limit}: {counts['scored']} utterances scored, "
        f"{counts['left_out']} left out of {counts['read']}",
        f"- Models: {', '.join(model['label'] for model in report['models'])}",
        f"- Legato {report['legato']}, {tables.runtimes(report)}, {machine['cpu']}, "
        f"{machine['threads']} thread{'s' if machine['threads'] != 1 else ''}",
    ]
    return "\n".join(lines)


def _methods(report: dict[str, Any]) -> str:
    lines = [f"- {tables.method_name(name)}: {text}" for name, text in report["methods"].items()]
    lines += [f"- Normalizer of {language}: `{normal['name']}`. {normal['about']}"
              for language, normal in report["normalizers"].items()]  # fmt: skip
    return "\n".join([*lines, "- Every utterance with its counts is in `utterances.jsonl`."])


def _confidence(report: dict[str, Any]) -> list[str]:
    header, rows = tables.confidence(report)
    if not rows:
        return []
    return ["## Confidence", table(header, rows), table(*tables.thresholds(report))]


def _gate(report: dict[str, Any]) -> list[str]:
    baseline = report.get("baseline")
    if baseline is None:
        return []
    return ["## Against the baseline", baseline["about"], table(*tables.comparisons(report))]


def _left_out(report: dict[str, Any]) -> list[str]:
    if not report["left_out"]:
        return []
    return ["## Left out", "\n".join(f"- {entry['place']}: {entry['reason']}" for entry in report["left_out"])]


def _notes(report: dict[str, Any]) -> list[str]:
    return ["## Notes", "\n".join(f"- {note}" for note in report["notes"])] if report["notes"] else []
