"""Utterances to judge on: NeMo manifests and folders of audio with transcripts. What is wrong with them is kept."""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from legato.errors import EvaluationError

#: Keys of a manifest that may hold the language, the first one found counts.
_LANGUAGE_KEYS = ("lang", "language", "source_lang", "target_lang")
_AUDIO = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wma", ".aiff", ".aif", ".webm", ".mp4", ".mkv", ".amr"}
)
#: Two letters, or two or three with a region: a folder named `wav` or `dev` says nothing about the language.
_LOCALE = re.compile(r"[a-z]{2}|[a-z]{2,3}([_-][A-Za-z]{4})?[_-]([A-Za-z]{2}|[0-9]{3})")


@dataclass(frozen=True)
class Utterance:
    """A recording and what is said in it.

    Attributes:
        id: its name, the same wherever the data lies; unique in a run.
        place: where it was read, for messages: `manifest.jsonl, line 3`.
        audio: the file.
        sha256: of the file's bytes.
        text: what is said.
        language: locale or language code; None where nobody said.
        offset, duration: seconds of the file that count; the whole file without an offset.
        subset: value of the field by which the report is split further; empty without one.
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
        place: where it stands: file and line.
        kind: a word for the cause: manifest, audio, text, language, model.
        reason: the cause and, where there is one, the remedy.
    """

    place: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass
class Data:
    """Utterances in order, and what was left out of them."""

    utterances: list[Utterance] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, other: "Data") -> None:
        """Append other data."""
        self.utterances += other.utterances
        self.problems += other.problems


def read_source(path: Path, *, language: str | None = None, split_by: str | None = None) -> Data:
    """Read a manifest, or a folder with audio and a .txt beside each file.

    Args:
        path: file or folder.
        language: of the utterances that do not say.
        split_by: a key of the manifest whose value becomes the subset.

    Raises:
        EvaluationError: it cannot be read at all.
    """
    if path.is_dir():
        return _read_folder(path, language)
    return _read_manifest(path, language, split_by)


def finish(data: Data, limit: int | None) -> Data:
    """Keep the first `limit` utterances of each language, and make names unique."""
    taken: Counter[str] = Counter()
    names: Counter[str] = Counter()
    kept = []
    for utterance in data.utterances:
        taken[utterance.language or ""] += 1
        if limit is not None and taken[utterance.language or ""] > limit:
            continue
        names[utterance.id] += 1
        number = names[utterance.id]
        kept.append(utterance if number == 1 else replace(utterance, id=f"{utterance.id}#{number}"))
    return Data(kept, data.problems)


def canonical(language: str) -> str:
    """One spelling for each language: `en_us` and `en-US` are `en-US`; three-letter codes of Chinese are `zh`."""
    code, *rest = language.strip().replace("_", "-").split("-")
    parts = [{"cmn": "zh"}.get(code.lower(), code.lower())]
    for part in rest:
        if len(part) == 4 and part.isalpha():
            continue  # a script; the models' languages have none
        parts.append(part.upper())
    return "-".join(parts)


def _read_manifest(manifest: Path, language: str | None, split_by: str | None) -> Data:
    try:
        # Not splitlines: a JSON string may hold other line separators of Unicode.
        lines = manifest.read_text("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise EvaluationError(f"{manifest}: there is no such manifest or folder. Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{manifest}: cannot be read as UTF-8 text ({error}). Give a JSONL manifest.") from None
    data = Data()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _manifest_line(manifest, f"{manifest}, line {number}", line, language, split_by)
        (data.problems if isinstance(found, Problem) else data.utterances).append(found)  # type: ignore[arg-type]
    if not data.utterances and not data.problems:
        raise EvaluationError(f"{manifest}: is empty. Name at least one recording.")
    return data


def _manifest_line(
    manifest: Path, place: str, line: str, language: str | None, split_by: str | None
) -> Utterance | Problem:
    try:
        entry: Any = json.loads(line)
    except ValueError as error:
        return Problem(place, "manifest", f"not JSON ({error}).")
    if not isinstance(entry, dict):
        return Problem(place, "manifest", "not a JSON object.")
    name, text = entry.get("audio_filepath"), entry.get("text")
    if not isinstance(name, str) or not name:
        return Problem(place, "manifest", "has no audio_filepath.")
    if not isinstance(text, str) or not text.strip():
        return Problem(place, "text", "has no text: without a reference there is nothing to compare with.")
    offset, duration = entry.get("offset"), entry.get("duration")
    if not (_seconds(offset) and _seconds(duration)):
        return Problem(place, "manifest", "its offset or duration is not a number of seconds.")
    said = next((entry[key] for key in _LANGUAGE_KEYS if entry.get(key)), language)
    suffix = "" if offset is None else f"@{offset:g}"
    return _utterance(
        Utterance(
            id=name + suffix,
            place=place,
            audio=manifest.parent / name,
            sha256="",
            text=text,
            language=canonical(str(said)) if said else None,
            offset=None if offset is None else float(offset),
            duration=None if offset is None or duration is None else float(duration),
            subset="" if split_by is None else str(entry.get(split_by, "")),
        )
    )


def _seconds(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _read_folder(folder: Path, language: str | None) -> Data:
    data = Data()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    audio = [path for path in files if path.suffix.lower() in _AUDIO]
    if not audio:
        raise EvaluationError(f"{folder}: no audio in it. Give a manifest, or a folder with NAME.wav and NAME.txt.")
    if not any(path.suffix == ".txt" for path in files):
        manifests = [path.name for path in files if path.suffix in {".jsonl", ".json"}]
        hint = f" Is {manifests[0]} the manifest? Give that." if manifests else ""
        raise EvaluationError(f"{folder}: no transcripts: there must be NAME.txt beside {audio[0].name}.{hint}")
    stems = {path.with_suffix("") for path in audio}
    orphans = [path for path in files if path.suffix == ".txt" and path.with_suffix("") not in stems]
    data.problems += [Problem(str(path), "audio", "no audio file of this name is beside it.") for path in orphans]
    for path in audio:
        found = _folder_file(folder, path, language)
        (data.problems if isinstance(found, Problem) else data.utterances).append(found)  # type: ignore[arg-type]
    return data


def _folder_file(folder: Path, path: Path, language: str | None) -> Utterance | Problem:
    transcript = path.with_suffix(".txt")
    try:
        text = transcript.read_text("utf-8-sig")
    except FileNotFoundError:
        return Problem(str(path), "text", f"no transcript: {transcript.name} is not beside it.")
    except (OSError, UnicodeDecodeError) as error:
        return Problem(str(path), "text", f"{transcript.name} cannot be read as UTF-8 text ({error}).")
    if not text.strip():
        return Problem(str(path), "text", f"{transcript.name} is empty: there is nothing to compare with.")
    said = _language_of(path.relative_to(folder.parent).parts[:-1]) or language
    return _utterance(
        Utterance(
            id=path.relative_to(folder).as_posix(),
            place=str(path),
            audio=path,
            sha256="",
            text=" ".join(text.split()),
            language=canonical(said) if said else None,
        )
    )


def _language_of(folders: Iterable[str]) -> str | None:
    """The innermost folder that is named as a language: `de`, `en-US`, `en_us`."""
    return next((name for name in reversed(list(folders)) if _LOCALE.fullmatch(name)), None)


def _utterance(utterance: Utterance) -> Utterance | Problem:
    """The same with the hash of its audio."""
    try:
        with utterance.audio.open("rb") as file:
            return replace(utterance, sha256=hashlib.file_digest(file, "sha256").hexdigest())
    except FileNotFoundError:
        return Problem(utterance.place, "audio", f"{utterance.audio}: there is no such file.")
    except OSError as error:
        return Problem(utterance.place, "audio", f"{utterance.audio}: cannot be read: {error.strerror}.")
