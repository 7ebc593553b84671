"""Normalization of texts before they are compared."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from legato.lab.scoring import base

#: Languages whose vowel signs are combining marks. Whisper's basic normalizer replaces every mark by a space, which
#: splits their words and ignores vowels.
MARKED_LANGUAGES = frozenset(
    {"as", "bn", "gu", "hi", "kn", "ml", "mr", "ne", "or", "pa", "sa", "si", "ta", "te", "th", "lo", "my", "km", "bo"}
)


class Choice(StrEnum):
    """Which normalizer an evaluation uses."""

    AUTO = "auto"
    WHISPER = "whisper"
    NONE = "none"


@dataclass(frozen=True)
class Normalizer:
    """A named way to make texts comparable.

    Attributes:
        name: short name for reports.
        about: one sentence on what it does.
        apply: text in, text out.
    """

    name: str
    about: str
    apply: Callable[[str], str]

    def __call__(self, text: str) -> str:
        """Normalize a text; words are then separated by single spaces."""
        return " ".join(self.apply(text).split())


@cache
def normalizer(language: str | None, choice: Choice = Choice.AUTO) -> Normalizer:
    """Return the normalizer for a language, from the package whisper-normalizer.

    Args:
        language: language of the reference; None if unknown.
        choice: `auto`: Whisper's, but vowels that are combining marks are kept; `whisper`: exactly Whisper's; `none`.
    """
    if choice is Choice.NONE:
        return Normalizer("none", "Texts are unchanged.", str)
    from whisper_normalizer.basic import BasicTextNormalizer  # noqa: PLC0415 - only in the extra

    if base(language) == "en":
        from whisper_normalizer.english import EnglishTextNormalizer  # noqa: PLC0415

        about = "Whisper's English normalizer: case, punctuation, fillers, contractions, numbers, British spelling."
        return Normalizer("whisper-english", about, EnglishTextNormalizer())
    if choice is Choice.AUTO and base(language) in MARKED_LANGUAGES:
        about = "Whisper's basic normalizer (case, punctuation, brackets), but keeps combining marks: they are vowels."
        return Normalizer("whisper-basic-marks", about, BasicTextNormalizer(preserve_marks=True))
    about = "Whisper's basic normalizer: case, punctuation, symbols, brackets."
    return Normalizer("whisper-basic", about, BasicTextNormalizer())


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return "".join(c if unicodedata.category(c)[0] in "LMN" or c == "'" else " " for c in folded)


#: The normalizer of `legato study`, the same for every language.
LETTERS = Normalizer("letters", "Lower case; letters, marks, digits and apostrophes only.", _letters)
