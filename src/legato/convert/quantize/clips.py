"""The recordings that a recipe is calibrated on."""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from legato.errors import ConversionError
from legato.model.languages import AUTO


@dataclass(frozen=True)
class Clip:
    """One recording to calibrate on.

    Attributes:
        path: the audio file.
        language: locale or language code; `auto` where the manifest specifies none.
    """

    path: Path
    language: str


def sample_clips() -> list[Clip]:
    """Return the recordings that come with Legato."""
    folder = Path(str(resources.files("legato") / "assets" / "samples"))
    return [Clip(path, AUTO) for path in sorted(folder.glob("*.flac"))]


def read_manifest(manifest: Path) -> list[Clip]:
    """Read a NeMo manifest: one JSON object per line with `audio_filepath` and optionally `lang`.

    Relative paths are relative to the manifest's folder.

    Raises:
        ConversionError: the manifest cannot be read or is empty, or a line is invalid; the message names the line.
    """
    try:
        lines = manifest.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"{manifest}: the calibration manifest cannot be read ({error}).") from error
    clips = [_clip(manifest, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not clips:
        raise ConversionError(f"{manifest}: the calibration manifest is empty. List at least one recording.")
    return clips


def _clip(manifest: Path, number: int, line: str) -> Clip:
    try:
        entry: Any = json.loads(line)
    except ValueError as error:
        raise ConversionError(f"{manifest}, line {number}: not JSON ({error}).") from error
    path = entry.get("audio_filepath") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not path:
        raise ConversionError(f"{manifest}, line {number}: has no audio_filepath.")
    return Clip(manifest.parent / path, str(entry.get("lang") or AUTO))
