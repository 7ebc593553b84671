"""Recognitions with their error counts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from legato.lab.confidence import Judged, judge
from legato.lab.evaluate.data import Problem
from legato.lab.evaluate.run import Result
from legato.lab.kept import Kept, Spoken, kept, spoken
from legato.lab.normalize import Choice, normalizer
from legato.lab.scoring import (
    CHARACTER_LANGUAGES,
    UNSPACED_LANGUAGES,
    Counts,
    base,
    characters,
    count_characters,
    count_words,
    words,
)

#: Unknown language, as ISO 639 writes it.
UNKNOWN = "und"
_RATES = ("words", "characters", "raw_words", "raw_characters")


@dataclass(frozen=True)
class Scored:
    """A result with its error counts.

    Attributes:
        result: the recognition.
        normalizer: name of the normalizer.
        reference, hypothesis: normalized texts.
        words, characters: counts on normalized texts.
        raw_words, raw_characters: counts on the texts as they are.
        judged: the words with their raw confidences.
    """

    result: Result
    normalizer: str
    reference: str
    hypothesis: str
    words: Counts
    characters: Counts
    raw_words: Counts
    raw_characters: Counts
    judged: Judged

    @property
    def language(self) -> str:
        """Language of the reference; `und` if unknown."""
        return self.result.utterance.language or UNKNOWN

    @property
    def headline(self) -> Counts:
        """The counts of the language's headline rate."""
        return self.characters if headline(self.language) == "cer" else self.words

    def kept(self, complete: "Scored | None") -> Kept | None:
        """Return the words kept of another model's text of the same audio; of the reference if that is None."""
        recognition = self.result.recognition
        text = self._spoken()
        if complete is not None:
            return kept(complete._spoken(), text)
        return kept(spoken(self._units(self.reference), [], {}, ending=None, duration=recognition.duration), text)

    def _spoken(self) -> Spoken:
        recognition = self.result.recognition
        return spoken(
            self._units(self.hypothesis),
            recognition.tokens,
            self.result.model.bundle.language_tags,
            ending=recognition.detected,
            duration=recognition.duration,
        )

    def _units(self, text: str) -> list[str]:
        unspaced = base(self.language) in UNSPACED_LANGUAGES
        return characters(text, self.language) if unspaced else words(text)

    def line(self) -> dict[str, Any]:
        """Return a line of utterances.jsonl: everything needed to recompute the figures of this utterance."""
        utterance, recognition, model = self.result.utterance, self.result.recognition, self.result.model
        start, end = recognition.speech_start, recognition.speech_end
        return {
            "id": utterance.id,
            "place": utterance.place,
            "audio": str(utterance.audio),
            "audio_sha256": utterance.sha256,
            "offset": utterance.offset,
            "language": utterance.language,
            "subset": utterance.subset,
            "model": model.label,
            "precision": model.bundle.precision,
            "recipe": model.recipe,
            "chunk_ms": self.result.condition.chunk_ms,
            "mode": self.result.condition.mode,
            "reference": utterance.text,
            "hypothesis": recognition.text,
            "normalizer": self.normalizer,
            "normalized_reference": self.reference,
            "normalized_hypothesis": self.hypothesis,
            **{name: asdict(getattr(self, name)) for name in _RATES},
            "first_token_latency": latency(recognition.first_token, start),
            "final_latency": latency(recognition.last_token, end),
            **{key: value for key, value in asdict(recognition).items() if key != "text"},
        }


def headline(language: str) -> str:
    """Return `cer` for languages whose headline is the character error rate, else `wer`."""
    return "cer" if base(language) in CHARACTER_LANGUAGES else "wer"


def score(results: Sequence[Result], choice: Choice) -> tuple[list[Scored], list[Problem]]:
    """Score every result. References that are empty after normalization are left out and reported."""
    scored, problems = [], []
    for result in results:
        utterance, text = result.utterance, result.recognition.text
        normal = normalizer(utterance.language, choice)
        reference, hypothesis = normal(utterance.text), normal(text)
        if not reference:
            problem = Problem(utterance.place, "text", f"its text {utterance.text!r} is empty after normalization.")
            if problem not in problems:
                problems.append(problem)
            continue
        scored.append(
            Scored(
                result,
                normal.name,
                reference,
                hypothesis,
                count_words(reference, hypothesis),
                count_characters(reference, hypothesis, utterance.language),
                count_words(utterance.text, text),
                count_characters(utterance.text, text, utterance.language),
                judge(result.recognition.spoken, utterance.text, normal, utterance.language),
            )
        )
    return scored, problems


def shrunk(scored: Sequence[Scored]) -> list[str]:
    """Return a sentence for every language whose normalizer makes one word of references of several words.

    Whisper's English normalizer writes numbers in digits. The word error rate then counts utterances, not words.
    """
    found: dict[tuple[str, str], dict[str, Scored]] = {}
    counts: Counter[str] = Counter()
    for name, item in {item.result.utterance.id: item for item in scored}.items():
        raw = item.result.utterance.text.split()
        counts[item.language] += len(raw) > 1
        if len(raw) > 1 and len(item.reference.split()) == 1 and base(item.language) not in UNSPACED_LANGUAGES:
            found.setdefault((item.language, item.normalizer), {})[name] = item
    return [
        f"{language}: {normal} makes one word of {len(items)} of {counts[language]} references of several words, such "
        f"as {example.result.utterance.text!r} -> {example.reference!r}, so a wrong word there counts as 100 %. Use "
        "--normalizer none, or the raw rates."
        for (language, normal), items in found.items()
        for example in [next(iter(items.values()))]
    ]


def latency(accepted: float | None, spoken: float | None) -> float | None:
    """Return the audio accepted since a point of the speech, in seconds; None if one of the two is unknown."""
    return None if accepted is None or spoken is None else round(accepted - spoken, 3)
