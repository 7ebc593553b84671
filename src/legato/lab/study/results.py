"""What a study has found so far, in memory and in `study.json`."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from legato.errors import StudyError
from legato.lab.study.figures import Figures, Numbers, paired_difference, rate
from legato.lab.study.variants import Variant

FORMAT = 1


@dataclass(frozen=True)
class Heard:
    """An utterance with FP32.

    Attributes:
        line: its line in the manifest.
        audio: the file, as the manifest's folder sees it.
        text: what is said.
        found: what FP32 made of it.
        tokens: token ids of FP32.
        words, characters: lengths of the text.
        word_edits, character_edits: errors of FP32.
        energy: sum of the squares of the encoder frames.
        steps: evaluations of the joint along the search path.
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
class Difference:
    """An utterance with a variant, against FP32.

    Attributes:
        squared_error: sum of the squared differences of the encoder frames.
        divergence: sum of the KL divergences along FP32's search path, nats.
        token_edits: edit distance of the token sequences.
        tokens: length of the longer of the two.
        word_edits, character_edits: errors of the variant.
    """

    squared_error: float
    divergence: float
    token_edits: int
    tokens: int
    word_edits: int
    character_edits: int


@dataclass(frozen=True)
class Outcome:
    """What came of a variant.

    Attributes:
        variant: what was in INT8.
        differences: one an utterance; empty where it could not be made.
        impossible: why it could not be made.
    """

    variant: Variant
    differences: tuple[Difference, ...] = ()
    impossible: str = ""


@dataclass
class Study:
    """A study, finished or not.

    Attributes:
        model: the checkpoint, for people.
        settings: what the figures depend on; a study is only resumed with the same.
        seed: of the bootstrap.
        planned: the variants in the order of reports.
        heard: the utterances.
        outcomes: by the variant's key.
        problems: sentences on what could not be used.
    """

    model: str
    settings: dict[str, Any]
    seed: int
    planned: list[Variant]
    heard: list[Heard] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def of(self, section: str, recipe: str | None = None) -> list[Outcome]:
        """Outcomes of a section that have figures, in the order of the plan."""
        wanted = (v.key for v in self.planned if v.section == section and recipe in (None, v.recipe))
        return [self.outcomes[key] for key in wanted if key in self.outcomes and self.outcomes[key].differences]

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
        """Word error rate of FP32, a fraction."""
        return rate(self._heard("word_edits"), self._heard("words"))

    @property
    def cer(self) -> float:
        """Character error rate of FP32, a fraction."""
        return rate(self._heard("character_edits"), self._heard("characters"))

    def figures(self, outcome: Outcome) -> Figures:
        """Figures of an outcome that has differences."""
        key = outcome.variant.key
        if key not in self._figures:
            self._figures[key] = self._compute(outcome)
        return self._figures[key]

    @cached_property
    def _figures(self) -> dict[str, Figures]:
        return {}

    def _compute(self, outcome: Outcome) -> Figures:
        found = {
            name: np.array([getattr(difference, name) for difference in outcome.differences], np.float64)
            for name in Difference.__dataclass_fields__
        }
        words, characters = self._heard("words"), self._heard("characters")
        return Figures(
            encoder_error=float(np.sqrt(rate(found["squared_error"], self._heard("energy")))),
            divergence=rate(found["divergence"], self._heard("steps")),
            token_agreement=1 - rate(found["token_edits"], found["tokens"]),
            exact=float(np.mean(found["token_edits"] == 0)),
            wer=rate(found["word_edits"], words),
            cer=rate(found["character_edits"], characters),
            wer_difference=paired_difference(found["word_edits"], self._heard("word_edits"), words, self.seed),
            cer_difference=paired_difference(
                found["character_edits"], self._heard("character_edits"), characters, self.seed
            ),
        )

    def _heard(self, name: str) -> Numbers:
        return np.array([getattr(heard, name) for heard in self.heard], np.float64)

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
            "utterances": [asdict(heard) for heard in self.heard],
        }
        part = file.with_name(f".{file.name}.part")
        try:
            part.write_text(json.dumps(document, ensure_ascii=False) + "\n", "utf-8")
            part.replace(file)
        except OSError as error:
            raise StudyError(f"{file}: cannot be written ({error.strerror}).") from error

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
        columns = {
            name: [getattr(difference, name) for difference in outcome.differences]
            for name in Difference.__dataclass_fields__
        }
        return entry | {"figures": asdict(self.figures(outcome)), "utterances": columns}

    def take_over(self, file: Path) -> None:
        """Take the utterances and the outcomes of planned variants from a file that `save` wrote.

        Raises:
            StudyError: it is no study, or one with other settings.
        """
        try:
            document = json.loads(file.read_text("utf-8"))
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']}")
            changed = [name for name, value in self.settings.items() if document["settings"].get(name) != value]
            if not changed:
                self._take(document)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StudyError(
                f"{file}: not a study that can be resumed ({error}). Give another --output, or remove the file."
            ) from error
        if changed:
            raise StudyError(
                f"{file}: this study was begun with another {', another '.join(changed)}. "
                "Give another --output, or the settings of then."
            )

    def _take(self, document: dict[str, Any]) -> None:
        heard = [Heard(**{**entry, "tokens": tuple(entry["tokens"])}) for entry in document["utterances"]]
        outcomes = {}
        for variant in self.planned:
            entry = document["variants"].get(variant.key, {})
            if "impossible" in entry:
                outcomes[variant.key] = Outcome(variant, impossible=entry["impossible"])
            elif "utterances" in entry:
                columns = entry["utterances"]
                rows = zip(*(columns[name] for name in Difference.__dataclass_fields__), strict=True)
                outcomes[variant.key] = Outcome(variant, tuple(Difference(*row) for row in rows))
        if any(len(outcome.differences) not in (0, len(heard)) for outcome in outcomes.values()):
            raise ValueError("its parts do not fit together")
        self.heard, self.outcomes = heard, outcomes
        self.problems = list(document["problems"])
