"""Utterances to evaluate models on, and what had to be left out of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from legato.files import sha256_of


@dataclass(frozen=True)
class Utterance:
    """A recording and what is said in it.

    Attributes:
        id: its name, independent of where the data is stored; unique in a run.
        place: where it was read, for messages: `manifest.jsonl, line 3`.
        audio: the audio file.
        sha256: SHA-256 of the file's bytes; empty until `hashed`.
        text: the reference text.
        language: locale or language code; None if unknown.
        offset, duration: the part of the file, in seconds; the whole file without an offset.
        subset: value of the key by which the report is split further; empty without one.
    """

    id: str
    place: str
    audio: Path
    sha256: str
    text: str
    language: str | None
    offset: float | None = None
    duration: float | None = None
    subset: str = ""


@dataclass(frozen=True)
class Problem:
    """Something that was left out.

    Attributes:
        place: file and line, or the model and condition.
        kind: the cause in one word: manifest, audio, text, language, model.
        reason: the cause and the remedy, if there is one.
    """

    place: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass
class Data:
    """Utterances in order, and the problems of those that were left out."""

    utterances: list[Utterance] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, other: "Data") -> None:
        """Append other data."""
        self.utterances += other.utterances
        self.problems += other.problems

    def append(self, found: Utterance | Problem) -> None:
        """Append an utterance, or the reason why it was left out."""
        if isinstance(found, Problem):
            self.problems.append(found)
        else:
            self.utterances.append(found)


def encodable(text: str) -> str:
    """Return a text without lone surrogates, which names of files and manifests may have, and no encoding."""
    return text.encode("utf-8", "replace").decode("utf-8")


def finish(data: Data, limit: int | None) -> Data:
    """Keep the first `limit` utterances of each language (all if None), and make their ids unique and encodable."""
    taken: Counter[str] = Counter()
    names: Counter[str] = Counter()
    kept = []
    for utterance in data.utterances:
        taken[utterance.language or ""] += 1
        if limit is not None and taken[utterance.language or ""] > limit:
            continue
        name, text, subset = map(encodable, (utterance.id, utterance.text, utterance.subset))
        names[name] += 1
        unique = name if names[name] == 1 else f"{name}#{names[name]}"
        kept.append(replace(utterance, id=unique, text=text, subset=subset))
    return Data(kept, data.problems)


def duplicates(utterances: Sequence[Utterance]) -> list[str]:
    """Return a sentence for every recording that is there more than once: its utterances are not independent."""
    places: dict[object, list[Utterance]] = {}
    for utterance in utterances:
        places.setdefault((utterance.sha256, utterance.offset, utterance.duration), []).append(utterance)
    sentences = []
    for first, *others in places.values():
        if others:
            texts = "" if all(other.text == first.text for other in others) else ", with another text"
            named = ", ".join(other.place for other in others)
            sentences.append(f"{named}: the same recording as {first.place}{texts}. Each that can be scored counts.")
    return sentences


def canonical(language: str) -> str:
    """Return one spelling per language: `en-US` for `en_us`, `zh` for `cmn`; scripts are left out."""
    code, *rest = language.strip().replace("_", "-").split("-")
    parts = [{"cmn": "zh"}.get(code.lower(), code.lower())]
    for part in rest:
        if len(part) == 4 and part.isalpha():
            continue  # a script; the models' languages have none
        parts.append(part.upper())
    return "-".join(parts)


def hashed(utterance: Utterance) -> Utterance | Problem:
    """Return the utterance with the hash of its audio, or why the audio cannot be read."""
    try:
        return replace(utterance, sha256=sha256_of(utterance.audio))
    except FileNotFoundError:
        return Problem(utterance.place, "audio", f"{utterance.audio}: there is no such file. Correct its path.")
    except OSError as error:
        return Problem(utterance.place, "audio", f"{utterance.audio}: cannot be read: {error.strerror}.")
