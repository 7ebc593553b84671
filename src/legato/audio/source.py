"""Open audio by its name: a file or a network address, of any codec and sample rate that FFmpeg reads."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from legato.audio.addresses import is_url
from legato.audio.arrays import check_channel, check_samples, one_channel
from legato.audio.decode import AudioFile, AudioUrl
from legato.audio.pcm import pcm_blocks
from legato.audio.resample import SAMPLE_RATE, Samples
from legato.errors import AudioError

__all__ = [
    "SAMPLE_RATE",
    "AudioFile",
    "Samples",
    "channel_count",
    "check_channel",
    "check_samples",
    "is_url",
    "one_channel",
    "open_audio",
    "open_audio_file",
    "pcm_blocks",
    "read_audio",
]


def open_audio(path: str | Path, *, channel: int | None = None) -> AudioFile:
    """Open an audio or video file, or a network address.

    Args:
        path: the file, or as a string (never as a `Path`) an address that `is_url` accepts. The default audio track of
            the container is read, or its first.
        channel: the only channel to read, counted from 0; by default all channels are averaged.

    Returns:
        The open file: a context manager; iterate it for its blocks.

    Raises:
        AudioError: the file is not found, a folder, not readable, not audio, without an audio track, empty or without
            such a channel; or there is no connection.
    """
    if isinstance(path, str) and is_url(path):
        return AudioUrl(path, channel)
    return AudioFile(_open(Path(path), str(path)), str(path), channel)


def open_audio_file(file: BinaryIO, name: str) -> AudioFile:
    """Open audio in a binary file that is open: a temporary file, or any object that is read like a file.

    Args:
        file: at its start; it is closed with the result.
        name: what messages call it.

    Raises:
        AudioError: as for `open_audio`.
    """
    return AudioFile(file, name)


def read_audio(path: str | Path) -> Samples:
    """Read a whole file: float32[n], mono, 16 kHz.

    Raises:
        AudioError: as for `open_audio`; or nothing could be decoded, or a sample is NaN or infinite.
    """
    with open_audio(path) as audio:
        return np.concatenate(list(audio))


def channel_count(audio: str | Path | NDArray[Any]) -> int:
    """Return the number of channels of a file or array that will be read once per channel.

    Raises:
        AudioError: as for `open_audio`; or for a pipe or an address, which can be read only once.
    """
    if not isinstance(audio, str | Path):
        return audio.shape[1] if np.ndim(audio) == 2 else 1
    pipe = Path(audio).exists() and not Path(audio).is_file() and not Path(audio).is_dir()
    if pipe or is_url(audio):
        raise AudioError(
            f"{audio}: channels can be transcribed separately only from a file. Save it first, or choose one channel."
        )
    with open_audio(audio) as file:
        return file.channels


def _open(path: Path, name: str) -> BinaryIO:
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
