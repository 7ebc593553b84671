"""The results of a study, in memory and in `study.json`."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from legato.errors import StudyError
from legato.files import read_regular, write_text_atomically
from legato.lab.kept import Kept, total
from legato.lab.study.figures import Figures, Numbers, change, rate
from legato.lab.study.variants import Variant

FORMAT = 2


@dataclass(frozen=True)
class Fp32Result:
    """The result of FP32 on one utterance.

    Attributes:
        line: line in the manifest.
        audio: the audio file, relative to the manifest's folder.
        text: the reference text.
        found: the text that FP32 recognized.
        tokens: token ids of FP32.
        words, characters: lengths of the normalized reference text.
        word_edits, character_edits: errors of FP32.
        energy: sum of the squares of the encoder frames.
        steps: number of evaluations of the joint along the search path.
    """

    line: int
    audio: str
    text: str
    found: str
    tokens: tuple[int, ...]
    words: int
    characters: int
    word_edits: int
    character_edits: int
    energy: float
    steps: int


@dataclass(frozen=True)
class Deviation:
    """The deviation of a variant from FP32 on one utterance.

    Attributes:
        squared_error: sum of the squared differences of the encoder frames.
        divergence: sum of the KL divergences along FP32's search path, in nats.
        token_edits: edit distance of the token sequences.
        tokens: length of the longer of the two.
        word_edits, character_edits: errors of the variant.
        kept: the words kept of FP32's text; None if that is empty.
    """

    squared_error: float
    divergence: float
    token_edits: int
    tokens: int
    word_edits: int
    character_edits: int
    kept: Kept | None

    @classmethod
    def from_json(cls, kept: dict[str, Any] | None, **fields: Any) -> "Deviation":
        """Return the deviation whose `asdict` was written."""
        return cls(**fields, kept=None if kept is None else Kept(**kept))


@dataclass(frozen=True)
class Outcome:
    """The result of a variant.

    Attributes:
        variant: what was in INT8.
        deviations: one per utterance; empty if the variant is impossible.
        impossible: why the variant could not be made; empty otherwise.
    """

    variant: Variant
    deviations: tuple[Deviation, ...] = ()
    impossible: str = ""


@dataclass
class Study:
    """A study, finished or not.

    Attributes:
        model: name of the checkpoint, for reports.
        settings: everything that the figures depend on; a study is only resumed with equal settings.
        seed: seed of the bootstrap.
        planned: the variants in the order of reports.
        fp32: the results of FP32, one per utterance.
        outcomes: the results of the variants by their keys.
        problems: one sentence per recording that could not be used.
    """

    model: str
    settings: dict[str, Any]
    seed: int
    planned: list[Variant]
    fp32: list[Fp32Result] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def of(self, section: str, recipe: str | None = None) -> list[Outcome]:
        """Return the outcomes of a section that have figures, in the order of the plan."""
        wanted = (v.key for v in self.planned if v.section == section and recipe in (None, v.recipe))
        return [self.outcomes[key] for key in wanted if key in self.outcomes and self.outcomes[key].deviations]

    @property
    def recipes(self) -> list[str]:
        """Recipes whose parts are studied."""
        return list(dict.fromkeys(variant.recipe for variant in self.planned if variant.section == "everything"))

    @property
    def impossible(self) -> list[Outcome]:
        """Variants that could not be made."""
        return [outcome for outcome in self.outcomes.values() if outcome.impossible]

    @property
    def wer(self) -> float:
        """Word error rate of FP32, as a fraction."""
        return rate(self._fp32("word_edits"), self._fp32("words"))

    @property
    def cer(self) -> float:
        """Character error rate of FP32, as a fraction."""
        return rate(self._fp32("character_edits"), self._fp32("characters"))

    def figures(self, outcome: Outcome) -> Figures:
        """Return the figures of an outcome that has deviations."""
        key = outcome.variant.key
        if key not in self._figures:
            self._figures[key] = self._compute(outcome)
        return self._figures[key]

    @cached_property
    def _figures(self) -> dict[str, Figures]:
        return {}

    def _compute(self, outcome: Outcome) -> Figures:
        found = {
            name: np.array([getattr(deviation, name) for deviation in outcome.deviations], np.float64)
            for name in Deviation.__dataclass_fields__
            if name != "kept"
        }
        words, characters = self._fp32("words"), self._fp32("characters")
        return Figures(
            encoder_error=float(np.sqrt(rate(found["squared_error"], self._fp32("energy")))),
            divergence=rate(found["divergence"], self._fp32("steps")),
            token_agreement=1 - rate(found["token_edits"], found["tokens"]),
            exact=float(np.mean(found["token_edits"] == 0)),
            kept=total([deviation.kept for deviation in outcome.deviations if deviation.kept]),
            wer=rate(found["word_edits"], words),
            cer=rate(found["character_edits"], characters),
            wer_difference=change(found["word_edits"], self._fp32("word_edits"), words, self.seed),
            cer_difference=change(found["character_edits"], self._fp32("character_edits"), characters, self.seed),
        )

    def _fp32(self, name: str) -> Numbers:
        return np.array([getattr(result, name) for result in self.fp32], np.float64)

    def save(self, file: Path, conclusion: Iterable[str] = ()) -> None:
        """Write the study; the file is complete at any time.

        Raises:
            StudyError: it cannot be written.
        """
        document = {
            "format": FORMAT,
            "model": self.model,
            "settings": self.settings,
            "seed": self.seed,
            "fp32": {"wer": self.wer, "cer": self.cer},
            "conclusion": list(conclusion),
            "problems": self.problems,
            "variants": {key: self._entry(outcome) for key, outcome in self.outcomes.items()},
            "utterances": [asdict(result) for result in self.fp32],
        }
        try:
            write_text_atomically(file, json.dumps(document, ensure_ascii=False) + "\n")
        except OSError as error:
            raise StudyError(f"{file}: cannot be written ({error.strerror}). Give another --output.") from error

    def _entry(self, outcome: Outcome) -> dict[str, Any]:
        variant = outcome.variant
        entry: dict[str, Any] = {
            "section": variant.section,
            "recipe": variant.recipe,
            "part": variant.part,
            "int8": sorted(variant.groups),
        }
        if outcome.impossible:
            return entry | {"impossible": outcome.impossible}
        rows = [asdict(deviation) for deviation in outcome.deviations]
        columns = {name: [row[name] for row in rows] for name in Deviation.__dataclass_fields__}
        return entry | {"figures": asdict(self.figures(outcome)), "utterances": columns}

    def load(self, file: Path) -> None:
        """Load the utterances and the outcomes of planned variants from a file that `save` wrote.

        Raises:
            StudyError: the file is not a study, or one with other settings.
        """
        try:
            document = json.loads(read_regular(file, 10**9))
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']}")
            changed = [name for name, value in self.settings.items() if document["settings"].get(name) != value]
            if not changed:
                self._load(document)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StudyError(
                f"{file}: not a study that can be resumed ({error}). Give another --output, or remove the file."
            ) from error
        if changed:
            raise StudyError(
                f"{file}: this study was started with another {', another '.join(changed)}. "
                "Give another --output, or the original settings."
            )

    def _load(self, document: dict[str, Any]) -> None:
        fp32 = [Fp32Result(**{**entry, "tokens": tuple(entry["tokens"])}) for entry in document["utterances"]]
        outcomes = {}
        for variant in self.planned:
            entry = document["variants"].get(variant.key, {})
            if "impossible" in entry:
                outcomes[variant.key] = Outcome(variant, impossible=entry["impossible"])
            elif "utterances" in entry:
                columns = entry["utterances"]
                names = list(Deviation.__dataclass_fields__)
                rows = zip(*(columns[name] for name in names), strict=True)
                deviations = (Deviation.from_json(**dict(zip(names, row, strict=True))) for row in rows)
                outcomes[variant.key] = Outcome(variant, tuple(deviations))
        if any(len(outcome.deviations) not in (0, len(fp32)) for outcome in outcomes.values()):
            raise ValueError("its parts do not match")
        self.fp32, self.outcomes = fp32, outcomes
        self.problems = list(document["problems"])
