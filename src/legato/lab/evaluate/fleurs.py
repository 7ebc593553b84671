"""FLEURS by language: from a local copy, or from the hub through the `datasets` library.

The clips come in the order of the archives, which all published forms of the set share, so the first N are always the
same. The reference is `raw_transcription`, which has case and punctuation.
"""

import csv
import hashlib
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from legato.errors import EvaluationError
from legato.files import write_atomically
from legato.lab.evaluate.data import Data, Problem, Utterance, canonical
from legato.model.hub import dataset_files

REPOSITORY = "google/fleurs"
#: The branch on which the hub stores a Parquet form of data sets that have a loading script.
_PARQUET_BRANCH = "refs/convert/parquet"
_COLUMNS = ("id", "file_name", "raw_transcription", "transcription", "characters", "num_samples", "gender")
#: Name of a split in the archives -> its name in the library.
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


@dataclass(frozen=True)
class _Clip:
    """A clip and its text; `audio` is the content of an audio file."""

    name: str
    text: str
    audio: bytes


def read_fleurs(
    languages: list[str], *, audio: Path, folder: Path | None = None, split: str = "test", limit: int | None = None
) -> Data:
    """Read a split of some languages.

    Args:
        languages: names of FLEURS, such as `en_us`.
        audio: folder to write the audio files to.
        folder: a local copy: `data/LANGUAGE/SPLIT.tsv` with `data/LANGUAGE/audio/SPLIT.tar.gz`, or Parquet files.
            None for the hub.
        split: train, dev or test.
        limit: largest number of clips per language; None for all.

    Raises:
        EvaluationError: a language or file does not exist, or the hub does not answer.
    """
    data = Data()
    for language in languages:
        source = f"FLEURS {language}"
        target = audio / language
        target.mkdir(parents=True, exist_ok=True)
        taken = 0
        for number, clip in enumerate(_clips(language, folder, split), 1):
            place = f"{source}, clip {number} ({clip.name})"
            if not clip.text.strip():
                data.problems.append(Problem(place, "text", "has no transcription."))
                continue
            path = target / clip.name
            if not (path.is_file() and path.stat().st_size == len(clip.audio)):
                with write_atomically(path) as file:
                    file.write(clip.audio)
            digest = hashlib.sha256(clip.audio).hexdigest()
            name = f"fleurs/{language}/{clip.name}"
            data.utterances.append(Utterance(name, place, path, digest, clip.text, canonical(language)))
            taken += 1
            if taken == limit:
                break
        if not taken:
            raise EvaluationError(f"{source}: the split {split!r} holds no clips.")
    return data


def _clips(language: str, folder: Path | None, split: str) -> Iterator[_Clip]:
    if folder is None:
        return _from_library(REPOSITORY, language, split)
    if not folder.is_dir():
        raise EvaluationError(f"{folder}: there is no such folder. --fleurs-dir takes a local copy of FLEURS.")
    for root in (folder / "data" / language, folder / language):
        if (root / f"{split}.tsv").is_file():
            return _from_archive(root, split)
    if files := _parquet_files(folder, language, split):
        return _from_library("parquet", None, "train", data_files=[str(file) for file in files])
    if any(folder.glob("*.md")) or any(folder.glob(f"*/{language}")):
        return _from_library(str(folder), language, split)
    there = sorted({path.parent.name for path in folder.glob("**/*.tsv")})
    hint = f" It has: {', '.join(there)}." if there else ""
    raise EvaluationError(f"{folder}: neither data/{language}/{split}.tsv nor Parquet files of {language}.{hint}")


def _from_archive(root: Path, split: str) -> Iterator[_Clip]:
    texts = _texts(root / f"{split}.tsv")
    unpacked, archive = root / "audio" / split, root / "audio" / f"{split}.tar.gz"
    if unpacked.is_dir():
        for path in sorted(unpacked.iterdir()):
            if path.name in texts:
                yield _Clip(path.name, texts[path.name], path.read_bytes())
        return
    try:
        with tarfile.open(archive) as members:
            for member in members:
                name = PurePosixPath(member.name).name
                if member.isfile() and name in texts and (file := members.extractfile(member)):
                    yield _Clip(name, texts[name], file.read())
    except FileNotFoundError:
        raise EvaluationError(
            f"{archive}: is missing, but {root / f'{split}.tsv'} exists. Get the audio, too."
        ) from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise EvaluationError(f"{archive}: cannot be unpacked ({error}). Download it again.") from None


def _texts(file: Path) -> dict[str, str]:
    """Return file name -> raw transcription."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{file}: cannot be read ({error}). Download it again.") from None
    for number, row in enumerate(rows, 1):
        if row and len(row) != len(_COLUMNS):
            raise EvaluationError(f"{file}, line {number}: {len(row)} columns instead of {len(_COLUMNS)}.")
    return {row[1]: row[2] for row in rows if row}


def _parquet_files(folder: Path, language: str, split: str) -> list[Path]:
    for name in dict.fromkeys((split, _SPLITS.get(split, split))):
        for pattern in (
            f"{language}/{name}/*.parquet",
            f"{language}/fleurs-{name}*.parquet",
            f"{language}/{name}*.parquet",
            f"*/{language}/{name}*.parquet",
            f"*/{language}/{name}/*.parquet",
        ):
            if files := sorted(folder.glob(pattern)):
                return files
    return []


def _parquet_branch(language: str, split: str) -> list[str]:
    """Return files of the Parquet branch; only their names tell languages and splits."""
    name = _SPLITS.get(split, split)
    wanted = re.compile(rf"{re.escape(language)}/({name}/|fleurs-{name})[^/]*\.parquet")
    files = [path for path in dataset_files(REPOSITORY, language, _PARQUET_BRANCH) if wanted.fullmatch(path)]
    if not files:
        raise EvaluationError(f"FLEURS {language}: the hub has no split {split!r} of this language as Parquet.")
    return files


def _from_library(path: str, language: str | None, split: str, **more: Any) -> Iterator[_Clip]:
    """Yield the clips of a data set that `datasets` streams, so that only the needed part is fetched."""
    import datasets  # noqa: PLC0415 - only in the extra, and slow to import

    what = f"FLEURS {language}" if language else "FLEURS"
    try:
        try:
            rows = datasets.load_dataset(path, language, split=_SPLITS.get(split, split), streaming=True, **more)
        except RuntimeError as error:
            if "script" not in str(error).lower():
                raise
            files = _parquet_branch(str(language), split)
            rows = datasets.load_dataset(
                path, data_files=files, revision=_PARQUET_BRANCH, split="train", streaming=True
            )
        for row in rows.cast_column("audio", datasets.Audio(decode=False)):
            yield _clip(row)
    except EvaluationError:
        raise
    except Exception as error:  # the library passes on whatever its backends raise
        text = str(error).strip().split("\n")[0][:500]
        raise EvaluationError(
            f"{what}: cannot be loaded ({type(error).__name__}: {text}). Check the language's name, the connection "
            "and HF_ENDPOINT, or give a local copy with --fleurs-dir."
        ) from error


def _clip(row: dict[str, Any]) -> _Clip:
    audio = row["audio"]
    content = audio.get("bytes")
    if content is None:
        content = Path(audio["path"]).read_bytes()
    name = PurePosixPath(str(row.get("path") or audio.get("path") or "")).name
    if name in {"", ".."}:
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.wav"
    return _Clip(name, str(row.get("raw_transcription") or row.get("transcription") or ""), content)
