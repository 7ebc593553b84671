"""Error rates: the fewest substitutions, deletions and insertions between a reference and a hypothesis.

Rates are micro averages: the counts of all utterances are added before dividing. This is the only module that imports
RapidFuzz.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rapidfuzz.distance import Levenshtein

Kind = Literal["equal", "replace", "delete", "insert"]

#: Languages (bare codes) whose headline is the character error rate.
CHARACTER_LANGUAGES = frozenset({"ja", "ko", "zh", "yue", "th", "lo", "my", "km"})
#: Languages written without spaces between words: a word error rate is meaningless there.
UNSPACED_LANGUAGES = CHARACTER_LANGUAGES - {"ko"}


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of an alignment; they can be added.

    Attributes:
        hits: units of the reference that were recognized.
        substitutions, deletions, insertions: the errors.
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def reference(self) -> int:
        """Units of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Errors per unit of the reference, above 1 with many insertions; None without a reference."""
        return self.errors / self.reference if self.reference else None


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an alignment: units of the reference, and the units recognized in their place."""

    kind: Kind
    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]


def add(counts: Iterable[Counts]) -> Counts:
    """Return the sum of any number of counts."""
    return sum(counts, Counts())


def words(text: str) -> list[str]:
    """Split a text into the units of the word error rate, at white space."""
    return text.split()


def characters(text: str, language: str | None = None) -> list[str]:
    """Split a text into the units of the character error rate, code points.

    White space counts as one character, since a wrong word boundary is an error. It is left out for languages whose
    headline is the character error rate: their spaces carry little or no meaning.
    """
    joiner = "" if base(language) in CHARACTER_LANGUAGES else " "
    return list(joiner.join(text.split()))


def base(language: str | None) -> str:
    """Return the bare code of a language: `de` for `de-DE` and `de_de`; empty for None."""
    return (language or "").replace("_", "-").split("-")[0].lower()


def distance(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> int:
    """Return the Levenshtein distance of two sequences (of words, characters, token ids)."""
    return Levenshtein.distance(reference, hypothesis)


def count(reference: Sequence[str], hypothesis: Sequence[str]) -> Counts:
    """Align two sequences of units with the fewest errors.

    If several alignments have the fewest errors, the split into substitutions, deletions and insertions is that of
    RapidFuzz, which jiwer uses as well.
    """
    substitutions = deletions = insertions = 0
    for edit in Levenshtein.editops(reference, hypothesis):
        substitutions += edit.tag == "replace"
        deletions += edit.tag == "delete"
        insertions += edit.tag == "insert"
    return Counts(len(reference) - substitutions - deletions, substitutions, deletions, insertions)


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Span]:
    """Return the alignment that `count` counts, as spans in order."""
    kinds: dict[str, Kind] = {"equal": "equal", "replace": "replace", "delete": "delete", "insert": "insert"}
    return [
        Span(
            kinds[operation.tag],
            tuple(reference[operation.src_start : operation.src_end]),
            tuple(hypothesis[operation.dest_start : operation.dest_end]),
        )
        for operation in Levenshtein.opcodes(reference, hypothesis)
    ]


def count_words(reference: str, hypothesis: str) -> Counts:
    """Return the counts of the word error rate of one utterance, on texts as they are."""
    return count(words(reference), words(hypothesis))


def count_characters(reference: str, hypothesis: str, language: str | None = None) -> Counts:
    """Return the counts of the character error rate of one utterance, on texts as they are."""
    return count(characters(reference, language), characters(hypothesis, language))
