"""Where utterances are read from: a manifest, or a folder of audio files with transcripts beside them."""

import re
from collections.abc import Iterable
from pathlib import Path

from legato.audio.manifest import BrokenLine, Entry, ManifestError, read_manifest
from legato.errors import EvaluationError
from legato.files import read_regular
from legato.lab.evaluate.data import Data, Problem, Utterance, canonical, hashed

_AUDIO = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wma", ".aiff", ".aif", ".webm", ".mp4", ".mkv", ".amr"}
)
#: Two letters, or two or three with a region: a folder named `wav` or `dev` does not name a language.
_LOCALE = re.compile(r"[a-z]{2}|[a-z]{2,3}([_-][A-Za-z]{4})?[_-]([A-Za-z]{2}|[0-9]{3})")


def read_source(path: Path, *, language: str | None = None, split_by: str | None = None) -> Data:
    """Read a manifest, or a folder with audio files and a .txt file beside each.

    Args:
        path: manifest or folder.
        language: language of utterances for which the source names none: neither a line of the manifest nor a folder
            inside of the given one. The name of the given folder counts last.
        split_by: key of the manifest whose value becomes the subset.

    Raises:
        EvaluationError: the source cannot be read at all.
    """
    return _read_folder(path, language) if path.is_dir() else _read_lines(path, language, split_by)


def _read_lines(manifest: Path, language: str | None, split_by: str | None) -> Data:
    try:
        entries = read_manifest(manifest)
    except ManifestError as error:
        raise EvaluationError(str(error)) from None
    if not entries:
        raise EvaluationError(f"{manifest}: is empty. Name at least one recording.")
    data = Data()
    for entry in entries:
        data.append(_of_line(entry, language, split_by))
    return data


def _of_line(entry: Entry | BrokenLine, language: str | None, split_by: str | None) -> Utterance | Problem:
    if isinstance(entry, BrokenLine):
        return Problem(entry.place, "manifest", entry.reason)
    if entry.text is None or not entry.text.strip():
        return Problem(entry.place, "text", "has no text: without a reference there is nothing to compare with.")
    named = entry.language or language
    return hashed(
        Utterance(
            id=entry.name if entry.offset is None else f"{entry.name}@{entry.offset:g}",
            place=entry.place,
            audio=entry.audio,
            sha256="",
            text=entry.text,
            language=canonical(named) if named else None,
            offset=entry.offset,
            duration=None if entry.offset is None else entry.duration,
            subset="" if split_by is None else str(entry.fields.get(split_by, "")),
        )
    )


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
        data.append(_of_file(folder, path, language))
    return data


def _of_file(folder: Path, path: Path, language: str | None) -> Utterance | Problem:
    transcript = path.with_suffix(".txt")
    try:
        text = read_regular(transcript, 10**7).decode("utf-8-sig")
    except FileNotFoundError:
        return Problem(str(path), "text", f"no transcript: {transcript.name} is not beside it.")
    except (OSError, UnicodeDecodeError) as error:
        return Problem(str(path), "text", f"{transcript.name} cannot be read as UTF-8 text ({error}).")
    if not text.strip():
        return Problem(str(path), "text", f"{transcript.name} is empty: there is nothing to compare with.")
    named = _language_of(path.relative_to(folder).parts[:-1]) or language or _language_of([folder.resolve().name])
    return hashed(
        Utterance(
            id=path.relative_to(folder).as_posix(),
            place=str(path),
            audio=path,
            sha256="",
            text=" ".join(text.split()),
            language=canonical(named) if named else None,
        )
    )


def _language_of(folders: Iterable[str]) -> str | None:
    """The innermost folder that is named like a language: `de`, `en-US`, `en_us`."""
    return next((name for name in reversed(list(folders)) if _LOCALE.fullmatch(name)), None)
