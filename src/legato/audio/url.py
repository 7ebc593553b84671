"""Audio from a network address."""

import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from legato.audio import ffmpeg
from legato.audio.addresses import normalized, without_password
from legato.audio.containers import is_mp4
from legato.audio.decode import DecodedAudio
from legato.audio.ffmpeg import InvalidDataError
from legato.audio.file import AudioFile
from legato.audio.track_decoder import BrokenOffError, Frame
from legato.errors import AudioError

_TIMEOUT = 30.0
_MOST_BYTES = 4 << 30
"""Bytes of the largest file that is copied because it cannot be read while it arrives."""


class AudioUrl(DecodedAudio):
    """Audio from a network address. What arrives before a connection breaks is returned, with a warning."""

    def __init__(self, url: str, channel: int | None = None, track: int | str | None = None) -> None:
        name = without_password(url)
        self._url = normalized(url)
        self._chosen = (channel, track)
        self._copy: BinaryIO | None = None
        super().__init__(ffmpeg.open_url(self._url, name, channel, track), name)

    def close(self) -> None:
        """Close the connection. Closing it again does nothing."""
        super().close()
        if self._copy is not None:
            self._copy.close()

    def _frames(self) -> Iterator[Frame]:
        yield from self._noted(self._arriving())

    def _arriving(self) -> Iterator[Frame]:
        """Yield the frames; an MP4 file that FFmpeg can open but not read while it arrives is copied first."""
        try:
            yield from self._decoder.frames()
        except BrokenOffError:
            if self._decoded or (copy := _copy_of_mp4(self._url)) is None:
                raise
            self._copy = copy
            self._decoder.close()
            self._decoder = ffmpeg.open_file(copy, self.name, *self._chosen)
            yield from self._decoder.frames()

    def _compare(self) -> None:
        """Warn when much less arrived than was promised: the connection may have ended."""
        stated = self._decoder.end
        if self.complete and stated is not None and self._timeline.end < stated - max(0.5, 0.01 * stated):
            self._fault(f"it breaks off at {self._end:.2f} s; its header says {stated:.2f} s")


def open_address(url: str, channel: int | None = None, track: int | str | None = None) -> DecodedAudio:
    """Open a network address; an MP4 file whose index is at its end is copied to a temporary file first.

    Raises:
        AudioError: no connection, not audio, or as for `open_audio`.
    """
    try:
        return AudioUrl(url, channel, track)
    except InvalidDataError as error:
        copy = _copy_of_mp4(normalized(url))
        if copy is None:
            raise AudioError(str(error)) from None
    return AudioFile(copy, without_password(url), channel, track)


def _copy_of_mp4(url: str) -> BinaryIO | None:
    """Return a temporary file with the MP4 file at an address; None when there is no such file there."""
    if not url.startswith(("http://", "https://")):
        return None
    from http.client import HTTPException  # noqa: PLC0415 - an HTTP client is rarely needed
    from urllib.request import urlopen  # noqa: PLC0415

    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed by the caller
    try:
        with urlopen(url, timeout=_TIMEOUT) as answer:
            head = answer.read(12)
            if is_mp4(head) and int(answer.headers.get("Content-Length") or 0) <= _MOST_BYTES:
                file.write(head)
                shutil.copyfileobj(answer, file, 1 << 20)
                file.seek(0)
                return file
    except (OSError, ValueError, HTTPException):
        pass
    file.close()
    return None
