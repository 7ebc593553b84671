"""Distinguish network addresses from the paths of files."""

from os import PathLike, fspath
from pathlib import Path
from urllib.parse import urlsplit

from legato.errors import AudioError

_SCHEMES = ("http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "rtp", "srt", "tcp", "udp")
_LONGEST = 8000
"""Characters of the longest address: far more than servers accept."""


def is_url(name: str | PathLike[str]) -> bool:
    """Return whether a name is a network address, such as https://... or rtmp://..., and not the path of a file."""
    return isinstance(name, str) and name.partition("://")[0].lower() in _SCHEMES and "://" in name


def normalized(url: str) -> str:
    """Return an address with its scheme in lower case, as FFmpeg needs it.

    Raises:
        AudioError: it is too long, or holds a character that no address has.
    """
    scheme, _, rest = url.partition("://")
    if len(url) > _LONGEST or "\0" in url:
        raise AudioError(f"{without_password(url)[:80]}...: not an address. Check it.")
    return f"{scheme.lower()}://{rest}"


def local_path(name: str | PathLike[str]) -> Path:
    """Return the path that a name means; `file://` addresses are understood.

    Raises:
        AudioError: the name is empty, or holds a character that no path has, or a `file://` address of another machine.
    """
    text = fspath(name)
    if isinstance(text, bytes):
        raise AudioError(f"{text!r}: a path is a text or a Path. Decode it with os.fsdecode.")
    if not text:
        raise AudioError("The name of the audio file is empty. Give a path or an address.")
    if "\0" in text:
        raise AudioError(f"{text!r}: no file can have this name. Check the path.")
    if isinstance(name, str) and text.lower().startswith("file://"):
        from urllib.request import url2pathname  # noqa: PLC0415 - it loads an HTTP client

        parts = urlsplit(text)
        if parts.netloc not in {"", "localhost"}:
            raise AudioError(f"{text}: a file of the machine {parts.netloc}. Copy it, or give its path here.")
        # `#` and `?` are ordinary characters of file names.
        rest = text[len("file://") :]
        return Path(url2pathname(rest[len(parts.netloc) :]))
    return Path(text)


def without_password(url: str) -> str:
    """Return an address without its user name and password, for messages."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
