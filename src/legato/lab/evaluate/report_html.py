"""The report as one HTML file without scripts, fonts or pictures from elsewhere."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from legato.lab.evaluate import tables
from legato.lab.evaluate.charts import by_chunk, by_precision, latency, reliability
from legato.lab.evaluate.scored import UNKNOWN, headline
from legato.lab.scoring import Span, align, base, characters, words

#: Number of worst utterances to show per language.
_WORST = 6


@dataclass(frozen=True)
class Worst:
    """An utterance with errors, aligned.

    Attributes:
        line: line of utterances.jsonl.
        errors, reference: counts of the headline rate.
        spans: the alignment as (kind, text of the reference, text of the hypothesis).
    """

    line: dict[str, Any]
    errors: int
    reference: int
    spans: Sequence[tuple[str, str, str]]

    @property
    def rate(self) -> str:
        """The headline rate in percent."""
        return tables.percent(self.errors / self.reference)


def to_html(report: dict[str, Any], lines: Sequence[dict[str, Any]]) -> str:
    """Return the whole page.

    Args:
        report: as in report.json.
        lines: as in utterances.jsonl.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("legato.lab.evaluate", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    chunk_ms, mode = tables.card_condition(report)
    return environment.get_template("report.html.j2").render(
        report=report,
        card=tables.card(report),
        card_condition=f"{chunk_ms} ms, language {tables.mode_name(mode)}",
        resources=tables.resources(report),
        conditions=tables.conditions(report),
        kept=tables.kept(report),
        confidence=tables.confidence(report),
        thresholds=tables.thresholds(report),
        comparisons=tables.comparisons(report) if "baseline" in report else None,
        charts={
            "chunk": by_chunk(report),
            "precision": by_precision(report),
            "latency": latency(report, lines),
            "reliability": reliability(report),
        },
        worst=worst(report, lines),
        titles=tables.column_titles(report["models"]),
        runtimes=tables.runtimes(report),
        mode_name=tables.mode_name,
        method_name=tables.method_name,
    )


def worst(report: dict[str, Any], lines: Sequence[dict[str, Any]]) -> dict[str, list[Worst]]:
    """Return language -> utterances with the highest error rate in the first table's condition, by the worst model."""
    chunk_ms, mode = tables.card_condition(report)
    found: dict[str, dict[str, Worst]] = defaultdict(dict)
    for line in lines:
        if (line["chunk_ms"], line["mode"]) != (chunk_ms, mode):
            continue
        language = line["language"] or UNKNOWN
        counts = line["characters" if headline(language) == "cer" else "words"]
        errors = counts["substitutions"] + counts["deletions"] + counts["insertions"]
        reference = counts["hits"] + counts["substitutions"] + counts["deletions"]
        before = found[language].get(line["id"])
        if errors and (before is None or errors > before.errors):
            found[language][line["id"]] = Worst(line, errors, reference, _spans(line))
    return {
        language: sorted(entries.values(), key=lambda entry: (-entry.errors / entry.reference, -entry.errors))[:_WORST]
        for language, entries in sorted(found.items())
        if entries
    }


def _spans(line: dict[str, Any]) -> list[tuple[str, str, str]]:
    language = line["language"]
    by_characters = not tables.has_words(base(language))
    texts = line["normalized_reference"], line["normalized_hypothesis"]
    units = [characters(text, language) if by_characters else words(text) for text in texts]
    joiner = "" if by_characters else " "
    return [_joined(span, joiner) for span in align(*units)]


def _joined(span: Span, joiner: str) -> tuple[str, str, str]:
    return span.kind, joiner.join(span.reference), joiner.join(span.hypothesis)
