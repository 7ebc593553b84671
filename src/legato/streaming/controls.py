"""What can be asked of a stream between two samples: one class a control, applied in one place.

A control takes effect after all audio that was accepted before it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from legato.decode.phrases import Phrases
from legato.options import Endpointing, check_endpoint

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Commit:
    """Close the current segment now, regardless of the endpoint rules.

    All audio accepted so far is decoded as if the stream ended here; the stream then continues. A word that is being
    spoken is cut. The answer is always one `Segment` with the reason `commit`; its text may be empty.

    Attributes:
        wait: end the segment after the word that is being spoken. The answer comes when the next word begins, after
            0.4 s without a token, after 2 s, or at the end of the stream; audio must go on for it. No word is cut: one
            that is not complete after 2 s opens the next segment. Streams with a beam or an n-gram do not wait.
    """

    wait: bool = False


@dataclass(frozen=True, slots=True)
class SetLanguage:
    """Continue in another language, or `auto`, from the next chunk on.

    Attributes:
        language: as in `StreamOptions`. A `LanguageError` is raised where the model has no such prompt.
    """

    language: str


@dataclass(frozen=True, slots=True)
class SetEndpoint:
    """Continue with other endpoint rules; the open segment continues under them.

    Attributes:
        endpoint: the rules, or None for no endpoints. A `LegatoError` is raised where the stream has a beam or an
            n-gram, or began without the voice activity detector that the rules name.

    Raises:
        TypeError: `endpoint` is something else.
    """

    endpoint: Endpointing | None

    def __post_init__(self) -> None:
        check_endpoint(self.endpoint)


@dataclass(frozen=True, slots=True)
class SetPhrases:
    """Continue with other phrases, or none, from the next chunk on.

    Attributes:
        phrases: as in `StreamOptions`. A `PhraseError` is raised for what the model cannot spell, a `LegatoError` where
            the stream has a beam or an n-gram.
    """

    phrases: Phrases


Control = Commit | SetLanguage | SetEndpoint | SetPhrases


class Controlled(ABC, Generic[R]):
    """The controls of a stream as methods; a subclass says how one is applied and what it returns."""

    @abstractmethod
    def apply(self, control: Control) -> R:
        """Apply a control after all audio that was accepted before it; when it raises, nothing has changed."""

    def commit(self, *, wait: bool = False) -> R:
        """Close the current segment; see `Commit`."""
        return self.apply(Commit(wait))

    def set_language(self, language: str) -> R:
        """Continue in another language; see `SetLanguage`."""
        return self.apply(SetLanguage(language))

    def set_endpoint(self, endpoint: Endpointing | None) -> R:
        """Continue with other endpoint rules; see `SetEndpoint`."""
        return self.apply(SetEndpoint(endpoint))

    def set_phrases(self, phrases: Phrases) -> R:
        """Continue with other phrases; see `SetPhrases`."""
        return self.apply(SetPhrases(phrases))
