"""Open audio by its name: a file or a network address, of any codec and sample rate that FFmpeg reads."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np

from legato.audio.addresses import is_url, local_path
from legato.audio.blocks import AudioBlocks
from legato.audio.decode import DecodedAudio
from legato.audio.file import AudioFile
from legato.audio.mixed import MixedTracks
from legato.audio.resample import SAMPLE_RATE
from legato.audio.tracks import Track
from legato.audio.url import open_address
from legato.errors import AudioError
from legato.types import Samples

__all__ = [
    "SAMPLE_RATE",
    "AudioFile",
    "Samples",
    "channel_count",
    "open_audio",
    "open_audio_file",
    "read_audio",
    "tracks_of",
]

ONLY_ONCE = "channels can be transcribed separately only from a file or an array. Save it first, or choose one channel."
"""What a message says of audio that cannot be read once per channel."""


def open_audio(path: str | PathLike[str], *, channel: int | None = None, track: int | str | None = None) -> AudioBlocks:
    """Open an audio or video file, or a network address.

    Args:
        path: the file, as a path or a `file://` address; or as a string (never as a `Path`) an address that `is_url`
            accepts.
        channel: the only channel to read, counted from 0; by default all channels are averaged.
        track: the audio track to read: a number, counted from 0; a language such as `en`; or `all` for the sum of all
            tracks. By default the container's default track, or its first. With several tracks, `warnings` says which
            is read.

    Returns:
        The open audio: a context manager; iterate it for its blocks.

    Raises:
        AudioError: the file is not found, a folder, not readable, not audio, protected, without an audio track, empty
            or without such a track or channel; or there is no connection.
    """
    if isinstance(path, str) and is_url(path):
        return _tracks(lambda number: open_address(path, channel, number), path, track)
    return _tracks(lambda number: AudioFile(_open(path), str(path), channel, number), str(path), track)


def open_audio_file(
    file: BinaryIO,
    name: str,
    *,
    channel: int | None = None,
    track: int | str | None = None,
    owned: bool = True,
) -> AudioFile:
    """Open audio in a binary file that is open: a temporary file, or any object that is read like a file.

    Args:
        file: at its start.
        name: what messages call it.
        channel: the only channel to read, counted from 0; by default all channels are averaged.
        track: number or language of the audio track; by default the container's default.
        owned: close the file with the result, or when it cannot be opened.

    Raises:
        AudioError: as for `open_audio`.
    """
    return AudioFile(file, name, channel, track, owned=owned)


def read_audio(path: str | PathLike[str]) -> Samples:
    """Read a whole file: float32[n], mono, 16 kHz.

    Raises:
        AudioError: as for `open_audio`; or nothing could be decoded, or a sample is NaN or infinite.
    """
    with open_audio(path) as audio:
        return np.concatenate(list(audio))


def tracks_of(path: str | PathLike[str]) -> tuple[Track, ...]:
    """Return the audio tracks of a file or address: number, language, title, and whether it is the default.

    Raises:
        AudioError: as for `open_audio`.
    """
    with AudioFile(_open(path), str(path)) if not is_url(path) else open_address(str(path)) as audio:
        return audio.tracks


def channel_count(path: str | PathLike[str]) -> int:
    """Return the number of channels of a file that will be read once per channel.

    Raises:
        AudioError: as for `open_audio`; or for a pipe or an address, which can be read only once.
    """
    place = None if is_url(path) else local_path(path)
    if place is None or (place.exists() and not place.is_file() and not place.is_dir()):
        raise AudioError(f"{path}: {ONLY_ONCE}")
    with open_audio(path) as file:
        return file.channels


def _tracks(opened: Callable[[int | str | None], DecodedAudio], name: str, track: int | str | None) -> AudioBlocks:
    """Open one track, or all of them."""
    if track != "all":
        return opened(track)
    first = opened(0)
    if len(first.tracks) < 2:
        return first
    tracks = [first]
    try:
        tracks += [opened(each.number) for each in first.tracks[1:]]
    except BaseException:
        for each in tracks:
            each.close()
        raise
    for each in tracks:
        each.warnings.clear()  # which of the tracks is read
    return MixedTracks(tracks, name)


def _open(name: str | PathLike[str]) -> BinaryIO:
    path: Path = local_path(name)
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise AudioError(f"{name}: there is no such file. Check the path.") from None
    except IsADirectoryError:
        raise AudioError(f"{name} is a folder. Give the audio files in it one by one, as in {name}/*.") from None
    except PermissionError:
        raise AudioError(f"{name}: no permission to read it. Change its permissions or copy it.") from None
    except OSError as error:
        raise AudioError(f"{name}: cannot be opened: {error.strerror}. Check the path and the disk.") from None
    except ValueError as error:  # characters that no file name has
        raise AudioError(f"{str(name)!r}: cannot be a file ({error}). Check the path.") from None
