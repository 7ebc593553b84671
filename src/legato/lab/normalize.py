"""Which text normaliser is used for which language: Whisper's, from the whisper-normalizer package."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from legato.lab.scoring import base

#: Languages whose vowel signs are combining marks. Whisper's basic normaliser replaces every mark by a space, which
#: tears their words apart and makes vowels free.
MARKED_LANGUAGES = frozenset(
    {"as", "bn", "gu", "hi", "kn", "ml", "mr", "ne", "or", "pa", "sa", "si", "ta", "te", "th", "lo", "my", "km", "bo"}
)


class Choice(StrEnum):
    """How texts are normalised before they are compared."""

    AUTO = "auto"
    WHISPER = "whisper"
    NONE = "none"


@dataclass(frozen=True)
class Normalizer:
    """A named way to make texts comparable.

    Attributes:
        name: short name for reports.
        about: what it does, in a sentence.
        apply: text in, text out.
    """

    name: str
    about: str
    apply: Callable[[str], str]

    def __call__(self, text: str) -> str:
        """Normalise a text; white space at the ends goes, too."""
        return " ".join(self.apply(text).split())


@cache
def normalizer(language: str | None, choice: Choice = Choice.AUTO) -> Normalizer:
    """The normaliser of a language.

    Args:
        language: of the reference; None where it is unknown.
        choice: `auto`: Whisper's, with marks kept where they are vowels; `whisper`: exactly Whisper's; `none`.
    """
    if choice is Choice.NONE:
        return Normalizer("none", "Texts as they are.", str)
    from whisper_normalizer.basic import BasicTextNormalizer  # noqa: PLC0415 - only in the extra

    if base(language) == "en":
        from whisper_normalizer.english import EnglishTextNormalizer  # noqa: PLC0415

        about = "Whisper's English normaliser: case, punctuation, fillers, contractions, numbers, British spelling."
        return Normalizer("whisper-english", about, EnglishTextNormalizer())
    if choice is Choice.AUTO and base(language) in MARKED_LANGUAGES:
        about = "Whisper's basic normaliser (case, punctuation, brackets), with combining marks kept: they are vowels."
        return Normalizer("whisper-basic-marks", about, BasicTextNormalizer(preserve_marks=True))
    about = "Whisper's basic normaliser: case, punctuation, symbols, brackets."
    return Normalizer("whisper-basic", about, BasicTextNormalizer())
