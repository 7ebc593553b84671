"""The recordings that a recipe is calibrated on."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from legato.audio.manifest import ManifestError, excerpt, read_entries
from legato.audio.source import SAMPLE_RATE, read_audio
from legato.errors import ConversionError
from legato.model.languages import AUTO


@dataclass(frozen=True)
class Clip:
    """One recording to calibrate on.

    Attributes:
        path: the audio file.
        language: locale or language code; `auto` where the manifest specifies none.
        offset: start of the part of the file to use, in seconds; None for the whole file.
        duration: length of that part in seconds; None for up to the end of the file. Used only with `offset`.
    """

    path: Path
    language: str
    offset: float | None = None
    duration: float | None = None

    def read(self) -> NDArray[np.float32]:
        """Read the audio: float32[n] at 16 kHz.

        Raises:
            AudioError: the file cannot be read, or ends before `offset`.
        """
        return excerpt(read_audio(self.path), SAMPLE_RATE, self.offset, self.duration, self.path)


def sample_clips() -> list[Clip]:
    """Return the recordings that come with Legato."""
    folder = Path(str(resources.files("legato") / "assets" / "samples"))
    return [Clip(path, AUTO) for path in sorted(folder.glob("*.flac"))]


def read_manifest(manifest: Path) -> list[Clip]:
    """Read the recordings of a manifest (see `legato.audio.manifest`), every line of which must be valid.

    Raises:
        ConversionError: the manifest cannot be read or is empty, or a line is invalid; the message names the line.
    """
    try:
        entries = read_entries(manifest)
    except ManifestError as error:
        raise ConversionError(str(error)) from None
    return [Clip(entry.audio, entry.language or AUTO, entry.offset, entry.duration) for entry in entries]
