"""A study as tables, and as a Markdown report."""

from collections.abc import Iterator
from dataclasses import dataclass

from legato.lab.markdown import table
from legato.lab.study.figures import Change
from legato.lab.study.results import Outcome, Study
from legato.lab.study.variants import ENCODER_GROUPS, GROUPS, WAYS

COLUMNS = (
    "error %",
    "KL mnat",
    "tokens %",
    "exact %",
    "words %",
    "WER %",
    "minus FP32 (95 %)",
    "CER %",
    "minus FP32 (95 %)",
)
LEGEND = (
    "error: ||x - x_fp32|| / ||x_fp32|| of the encoder's frames. KL: mean divergence of the joint's "
    "distribution from FP32's, along FP32's search path, in thousandths of a nat. tokens: 1 - edit distance / length, "
    "against FP32's; exact: utterances with the same tokens. words: words of the text / words of FP32's. WER, CER: "
    "lower case, no punctuation; differences in percentage points, with the 95 % interval of a paired bootstrap over "
    "utterances."
)


@dataclass(frozen=True)
class Table:
    """One section of the report.

    Attributes:
        title: what its variants have in common.
        about: title of the first column.
        rows: one cell per column.
    """

    title: str
    about: str
    rows: list[tuple[str, ...]]

    @property
    def columns(self) -> tuple[str, ...]:
        """The titles of the columns."""
        return (self.about, *COLUMNS)


def tables(study: Study) -> list[Table]:
    """Return the sections that have rows."""
    return [section for section in _tables(study) if section.rows]


def _tables(study: Study) -> Iterator[Table]:
    baseline = ("FP32", "", "", "", "", "", _percent(study.wer), "", _percent(study.cer), "")
    yield Table("Whole models, as converted", "recipe", [baseline, *_rows(study, "recipes")])
    for recipe in study.recipes:
        alone, left, layers = (_rows(study, section, recipe) for section in ("alone", "left", "layers"))
        everything = [row[1:] for row in _rows(study, "everything", recipe)]
        yield Table(
            f"{recipe}: one group in INT8, the rest in FP32", "in INT8", alone + [("all", *row) for row in everything]
        )
        yield Table(
            f"{recipe}: one group in FP32, the rest in INT8", "in FP32", left + [("none", *row) for row in everything]
        )
        yield Table(f"{recipe}: one layer of the encoder in INT8, the rest in FP32", "in INT8", layers)


def _rows(study: Study, section: str, recipe: str | None = None) -> list[tuple[str, ...]]:
    outcomes = (
        study.outcomes[variant.key]
        for variant in study.planned
        if variant.section == section and recipe in (None, variant.recipe) and variant.key in study.outcomes
    )
    return [_row(study, outcome) for outcome in outcomes]


def label(outcome: Outcome) -> str:
    """Return the name of a variant within its section."""
    variant = outcome.variant
    if variant.section == "recipes":
        return variant.recipe
    if variant.section == "layers":
        return f"layer {variant.layer}"
    return GROUPS.get(variant.part, "everything")


def _row(study: Study, outcome: Outcome) -> tuple[str, ...]:
    name = label(outcome)
    if outcome.impossible:
        return (f"{name}: not possible", *[""] * len(COLUMNS))
    figures = study.figures(outcome)
    return (
        name,
        _percent(figures.encoder_error) if outcome.variant.encoder else "-",
        f"{1000 * figures.divergence:.3g}",
        _percent(figures.token_agreement),
        _percent(figures.exact),
        "-" if figures.kept is None else f"{100 * figures.kept.share:.1f}",
        _percent(figures.wer),
        _interval(figures.wer_difference),
        _percent(figures.cer),
        _interval(figures.cer_difference),
    )


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _interval(interval: Change) -> str:
    return f"{_points(interval.value)} ({_points(interval.low)} to {_points(interval.high)})"


def _points(value: float) -> str:
    """Return a signed number of percentage points; zero has no sign."""
    text = f"{100 * value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text


def as_markdown(study: Study, conclusion: list[str]) -> str:
    """Return the whole report in Markdown."""
    lines = [f"# Loss of {study.model} through INT8", ""]
    words = sum(result.words for result in study.fp32)
    lines += [
        f"{len(study.fp32)} utterances, {words} words ({study.settings['manifest']}), chunks of "
        f"{study.settings['chunk size']} ms, onnxruntime {study.settings['version of onnxruntime']}.",
        "",
        "## Conclusion",
        "",
        *(f"- {sentence}" for sentence in conclusion),
        "",
        "![error by group and by layer](study.png)",
    ]
    for section in tables(study):
        lines += ["", f"## {section.title}", "", table(section.columns, section.rows)]
    lines += ["", LEGEND, "", "Ways to quantize:", "", *(f"- `{name}`: {way.summary}" for name, way in WAYS.items())]
    lines += ["", f"Groups of the encoder: {', '.join(ENCODER_GROUPS.values())}."]
    notes = [*study.problems, *(f"{o.variant.key}: {o.impossible}" for o in study.impossible)]
    if notes:
        lines += ["", "## What could not be used", "", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"
