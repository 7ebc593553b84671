"""The English sample of the package: speech for measurements and for checks of a model."""

from importlib import resources

from legato.audio.source import read_audio
from legato.types import Samples


def read_sample() -> Samples:
    """Return the sample: float32[n], mono, 16 kHz."""
    with resources.as_file(resources.files("legato") / "assets" / "samples" / "en.flac") as path:
        return read_audio(path)
