"""Open containers with FFmpeg. Only this module and `track_decoder` use PyAV, which loads when audio is opened."""

import io
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from legato.audio.containers import is_mp4
from legato.audio.track_decoder import Decoder, reason_of
from legato.errors import AudioError

if TYPE_CHECKING:
    import av

_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,crypto,rtmp,rtmps,rtp,srt"
"""Protocols that FFmpeg may use for an address. `file` is never among them: a remote playlist must not open files."""

_URL_TIMEOUT = (15.0, 30.0)
"""Seconds to wait for an address to answer, and for more of its data."""

_LIVE_ANALYSIS_US = 200_000
"""Microseconds of audio that FFmpeg may analyze before it returns any, where the format does not state its layout."""

_RAW_SUFFIXES = {".raw", ".pcm", ".s16", ".s16le", ".sln", ".sw", ".ul", ".ulaw", ".al", ".alaw"}
_RAW_REMEDY = (
    "samples without a header, or not an audio file. If it is raw audio, say what it holds: "
    "legato transcribe --raw-encoding pcm16 --raw-rate 16000 - < FILE."
)


class InvalidDataError(AudioError):
    """What an address delivers is not a file that FFmpeg can read while it arrives."""


def open_file(
    file: BinaryIO,
    name: str,
    channel: int | None = None,
    track: int | str | None = None,
    options: Mapping[str, str] | None = None,
) -> Decoder:
    """Open a file or pipe that is open for reading.

    Args:
        file: at its start.
        name: what messages call it.
        options: for FFmpeg's reader of the container.

    Raises:
        AudioError: it is not audio, or as for `Decoder`.
    """
    import av.error  # noqa: PLC0415

    # A playlist must not make FFmpeg open other files or addresses.
    given = {**(options or {}), "protocol_whitelist": "none"}
    if is_live(file):
        given["analyzeduration"] = str(_LIVE_ANALYSIS_US)
    big_endian = file.seekable() and _starts_with(file, b"RIFX")
    try:
        # A Python file and not a path: FFmpeg takes paths such as `concat:...` as instructions.
        container = av.open(file, mode="r", options=given, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        if not isinstance(error, av.error.FFmpegError | ValueError):  # the file's own, such as that of a failing disk
            raise AudioError(f"{name}: cannot be read ({reason_of(error)}). Check the disk.") from None
        raise AudioError(f"{name}: {_fault(file, name, reason_of(error))}") from None
    if container.format.name == "tty":  # FFmpeg's reader for pictures drawn in text accepts any *.txt
        container.close()
        raise AudioError(f"{name}: a text file, not an audio file. Choose an audio or video file.")
    if _is_raw(name) and not container.streams.audio:  # samples may look like a picture
        container.close()
        raise AudioError(f"{name}: {_RAW_REMEDY}")
    return _decoder(container, name, channel, track, big_endian=big_endian)


def _fault(file: BinaryIO, name: str, reason: str) -> str:
    """Return why a file has no container that FFmpeg can read, and what to do."""
    if _is_raw(name):
        return _RAW_REMEDY
    if file.seekable():
        file.seek(0)
        if is_mp4(file.read(8)):
            return (
                "the index of this MP4 is missing or damaged: the recording or the copy was not completed "
                f"({reason}). Copy it again, or restore it with a tool that repairs MP4 files."
            )
    return (
        f"not an audio file, or cut off before its audio starts ({reason}). "
        "Legato reads what FFmpeg reads: WAV, FLAC, MP3, Ogg, Opus, M4A, WebM, MP4 and others."
    )


def _is_raw(name: str) -> bool:
    return Path(name).suffix.lower() in _RAW_SUFFIXES


def open_url(url: str, name: str, channel: int | None = None, track: int | str | None = None) -> Decoder:
    """Open a network address.

    Raises:
        AudioError: no connection, or as for `open_file`.
    """
    import av.error  # noqa: PLC0415

    try:
        container = av.open(
            url, mode="r", options={"protocol_whitelist": _PROTOCOLS}, timeout=_URL_TIMEOUT, metadata_errors="replace"
        )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        kind = InvalidDataError if isinstance(error, av.error.InvalidDataError) else AudioError
        if kind is AudioError and (host := _unknown_host(url)):
            raise AudioError(
                f"{name}: the name {host} cannot be resolved (DNS). Check the address and the network."
            ) from None
        raise kind(
            f"{name}: cannot be opened ({reason_of(error)}). Check the address and the network, and that it is audio."
        ) from None
    return _decoder(container, name, channel, track)


def _unknown_host(url: str) -> str | None:
    """Return the host of an address if its name cannot be resolved, for which FFmpeg has no error of its own."""
    host = None
    try:
        host = urlsplit(url).hostname
        socket.getaddrinfo(host, None)
    except (socket.gaierror, ValueError):  # a name that is none is a ValueError
        return host
    return None


def is_live(file: BinaryIO) -> bool:
    """Return whether a file is neither on a disk nor in memory, such as a stream that a server receives."""
    try:
        file.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return not file.seekable()
    return False


def _starts_with(file: BinaryIO, magic: bytes) -> bool:
    position = file.tell()
    head = file.read(len(magic))
    file.seek(position)
    return head == magic


def _decoder(
    container: "av.container.InputContainer",
    name: str,
    channel: int | None,
    track: int | str | None,
    *,
    big_endian: bool = False,
) -> Decoder:
    try:
        return Decoder(container, name, channel, track, big_endian=big_endian)
    except BaseException:
        container.close()
        raise
