"""Compare what was read of a file with what the file states about itself."""

from typing import BinaryIO

from legato.audio.containers import (
    matroska_shortfall,
    mp3_states_length,
    mp4_is_whole,
    ogg_is_whole,
    wav_layouts,
)
from legato.audio.track_decoder import Decoder

_COUNTED = {"w64", "aiff", "au", "caf", "flac"}
"""Containers that count their samples, where these are not compressed with loss of the count."""

_TIMED = {"mov", "matroska", *_COUNTED}
"""Containers that state the duration of their tracks, though not to the sample."""


def shortfall(decoder: Decoder, file: BinaryIO, end: float) -> str | None:
    """Return a sentence for the user when a file holds less audio than it states.

    Args:
        decoder: of the file, after its last frame.
        file: seekable.
        end: seconds on the time line at which the audio ended.

    Returns:
        None for a file that holds all that it states.
    """
    size = file.seek(0, 2)
    if "wav" in decoder.formats:
        missing = next((layout.missing for layout in reversed(wav_layouts(file, size))), 0)
        seconds = missing / decoder.byte_rate if decoder.byte_rate else 0.0
        return cut_off(end, end + seconds) if seconds > 0.01 else None
    if "ogg" in decoder.formats:
        return None if ogg_is_whole(file) else f"the file breaks off at {end:.2f} s: its last part is missing"
    if "matroska" in decoder.formats and (lacking := matroska_shortfall(file)) is not None:
        if lacking and decoder.end is not None and decoder.end > end + 0.01:
            return cut_off(end, decoder.end)
        return f"the file is cut off at {end:.2f} s: {lacking} bytes of it are missing" if lacking else None
    if "mov" in decoder.formats and mp4_is_whole(file):
        return None
    if decoder.end is None:
        return None
    lossless = decoder.codec.startswith("pcm_") or decoder.codec == "flac"
    if decoder.formats & _COUNTED and lossless:
        tolerance = 0.05
    elif decoder.formats & _TIMED or ("mp3" in decoder.formats and mp3_states_length(file)):
        tolerance = max(0.5, 0.01 * decoder.end)
    else:
        return None
    return cut_off(end, decoder.end) if end < decoder.end - tolerance else None


def cut_off(end: float, stated: float) -> str:
    """Return the sentence about a file that ends at `end` seconds, and whose header states `stated` seconds."""
    return f"the file is cut off at {end:.2f} s; its header says {stated:.2f} s"
