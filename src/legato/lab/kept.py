"""Words kept: how much of a text with times another model, or the same one in INT8, has left out.

Lost speech hides in a word error rate: a model that hears nothing of a quiet ending or of ten minutes of a meeting has
the rate of one that mishears as many words.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from legato.chunks import FRAME_MS
from legato.lab.scoring import align, base

#: Texts with fewer units say little by the share that is kept.
FEW = 5


@dataclass(frozen=True)
class Spoken:
    """A text with times.

    Attributes:
        units: its normalized words; its characters in languages that are written without spaces.
        times: float64[n], the seconds of the audio at which its n tokens were emitted, in order.
        languages: the language (bare code) of each of these tokens; empty where it is unknown.
        duration: length of the audio in seconds.
    """

    units: Sequence[str]
    times: NDArray[np.float64]
    languages: Sequence[str]
    duration: float

    @property
    def longest_gap(self) -> float:
        """The longest stretch without a token in seconds, from the start of the audio to its end."""
        return float(np.diff([0.0, *self.times, max(self.duration, 0.0)]).max())


@dataclass(frozen=True)
class Kept:
    """What a text has of another one, which is called complete here.

    Attributes:
        units, complete: words of the text, and of the complete one.
        first, last: whether the first and the last word of the complete text have something in their place.
        gap, complete_gap: the longest stretches without text in seconds.
        same_language, languages: tokens of the complete text at whose times the text has the same language, and
            those whose language is known.
    """

    units: int
    complete: int
    first: bool
    last: bool
    gap: float
    complete_gap: float
    same_language: int
    languages: int


@dataclass(frozen=True)
class KeptTotal:
    """Words kept in a group of texts.

    Attributes:
        share: words of the texts / words of the complete ones; above 1 if there are more.
        lowest: the smallest share of a text of 5 words or more; None without such a text.
        first, last: share of the texts that have the first and the last word of the complete one.
        gap, complete_gap: the longest stretches without text in seconds.
        language: share of tokens with the same language; None if no language is known.
    """

    share: float
    lowest: float | None
    first: float
    last: float
    gap: float
    complete_gap: float
    language: float | None


def spoken(
    units: Sequence[str],
    tokens: Iterable[tuple[int, int]],
    tags: Mapping[int, str],
    *,
    ending: str | None,
    duration: float,
) -> Spoken:
    """Return a text with times.

    Args:
        units: its normalized words or characters.
        tokens: (id, encoder frame) of every token, language tags included.
        tags: token id -> language, for the tokens that are language tags. A tag names the language of what precedes it.
        ending: the language of what no tag follows; None if unknown.
        duration: length of the audio in seconds.
    """
    frames: list[int] = []
    languages: list[str] = []
    for token, frame in tokens:
        if token in tags:
            languages += [base(tags[token])] * (len(frames) - len(languages))
        else:
            frames.append(frame)
    languages += [base(ending)] * (len(frames) - len(languages))
    return Spoken(units, np.array(frames, np.float64) * FRAME_MS / 1000, languages, duration)


def kept(complete: Spoken, text: Spoken) -> Kept | None:
    """Compare a text with a complete one of the same audio; None if that is empty."""
    if not complete.units:
        return None
    deleted = [span.kind == "delete" for span in align(complete.units, text.units) if span.reference]
    known = [place for place, language in enumerate(complete.languages) if language]
    same = 0
    if len(text.times):
        for place in known:
            nearest = int(np.abs(text.times - complete.times[place]).argmin())
            same += text.languages[nearest] == complete.languages[place]
    return Kept(
        len(text.units),
        len(complete.units),
        not deleted[0],
        not deleted[-1],
        text.longest_gap,
        complete.longest_gap,
        same,
        len(known),
    )


def total(found: Sequence[Kept]) -> KeptTotal | None:
    """Add up the texts of a group; None for an empty group."""
    if not found:
        return None
    shares = [one.units / one.complete for one in found if one.complete >= FEW]
    known = sum(one.languages for one in found)
    return KeptTotal(
        share=sum(one.units for one in found) / sum(one.complete for one in found),
        lowest=min(shares, default=None),
        first=sum(one.first for one in found) / len(found),
        last=sum(one.last for one in found) / len(found),
        gap=max(one.gap for one in found),
        complete_gap=max(one.complete_gap for one in found),
        language=sum(one.same_language for one in found) / known if known else None,
    )
