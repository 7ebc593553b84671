"""Tell network addresses from the paths of files."""

from pathlib import Path

_SCHEMES = ("http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "rtp", "srt", "tcp", "udp")


def is_url(name: str | Path) -> bool:
    """Return whether a name is a network address, such as https://... or rtmp://..., and not the path of a file."""
    return isinstance(name, str) and name.partition("://")[0].lower() in _SCHEMES and "://" in name


def without_password(url: str) -> str:
    """Return an address without its user name and password, for messages."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
