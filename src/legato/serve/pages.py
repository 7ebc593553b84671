"""The web pages that may use a server without keys from a browser.

Any page that a user visits could otherwise use a server in the user's network. The browser names the page's origin in
`Origin`, so requests of other origins are refused. An attacker can also let a name of its own point to the server's
address (DNS rebinding); the page's requests then carry that name in `Host`, so only names that the server is meant to
have are answered.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from legato.serve.errors import ForeignPageError
from legato.serve.settings import ANY_ORIGIN, Settings, is_loopback

_PORTS = {"http": 80, "https": 443}
_SCHEMES = {"ws": "http", "wss": "https"}
#: Ends of names that no public name server answers for.
_PRIVATE_ENDS = (".local", ".localhost", ".internal", ".lan", ".home.arpa")

Origin = tuple[str, str, int]
"""Scheme, host in lower case, port."""


def check_page(connection: HTTPConnection, settings: Settings) -> None:
    """Refuse a request under a foreign host name or from a foreign page.

    Raises:
        ForeignPageError: what may not use the server, and the option that allows it.
    """
    if ANY_ORIGIN in settings.allow_origins:
        return
    hosts, origins = connection.headers.getlist("host"), connection.headers.getlist("origin")
    scheme = _SCHEMES.get(connection.scope["scheme"], connection.scope["scheme"])
    own = _parse(f"{scheme}://{hosts[0]}") if len(hosts) == 1 else None
    if own is None or not _is_served(own[1], settings):
        raise ForeignPageError(
            "Without API keys the server answers only under its own names. Use its address or localhost, allow the "
            "name with --allow-host, or set API keys.",
            "unknown_host",
        )
    if not origins or (len(origins) == 1 and (origins[0] in settings.allow_origins or _parse(origins[0]) == own)):
        return
    raise ForeignPageError(
        f"Pages of {', '.join(origins)[:200]} may not use this server. Allow them with --allow-origin.",
        "unknown_origin",
    )


def _parse(text: str) -> Origin | None:
    """Return the parts of an origin; None if it is none, or has a path, a user or another scheme."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    whole = f"{parts.scheme}://{parts.netloc}" == text and "@" not in parts.netloc
    if not whole or parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _is_served(name: str, settings: Settings) -> bool:
    if name in settings.allow_hosts or is_loopback(name):
        return True
    if settings.is_local:
        return False
    return _is_address(name) or "." not in name or name.endswith(_PRIVATE_ENDS) or name == socket.gethostname().lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
