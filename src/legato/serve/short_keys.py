"""Short-lived keys: signed and expiring, so that a web page never receives a permanent API key.

A key contains its claims, so no server has to remember it, and every replica with the same API keys accepts it. The
first client that uses a key is the only one that can use it, per machine.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from legato.serve.errors import AuthError

_PREFIX = "ek_"
_MAX_SESSION_BYTES = 4000  # a browser sends the key in a header, which is limited


@dataclass(frozen=True, slots=True)
class ShortKey:
    """A short-lived key.

    Attributes:
        value: the key.
        expires_at: the time at which it expires, in seconds since 1970.
        session: the configuration of the session that it opens; None for any.
    """

    value: str
    expires_at: int
    session: Mapping[str, object] | None = None


class ShortKeys:
    """Issues and checks short-lived keys.

    Args:
        api_keys: the permanent keys. The signatures depend on them, so changing them invalidates all short-lived keys.
        secret: signs the keys where there are no permanent ones.
        folder: where the processes of a server note the first client of each key; None for one process.
    """

    def __init__(self, api_keys: tuple[str, ...], secret: bytes | None = None, folder: Path | None = None) -> None:
        # Slow on purpose: a signature must not help to guess an API key.
        text = "\n".join(sorted(api_keys)).encode()
        self._secret = (
            hashlib.scrypt(text, salt=b"legato", n=2**14, r=8, p=1) if api_keys else secret or secrets.token_bytes(32)
        )
        self._clients = _Clients() if folder is None else _CommonClients(folder)

    def issue(self, seconds: int, session: Mapping[str, object] | None = None) -> ShortKey:
        """Return a new key.

        Args:
            seconds: its lifetime.
            session: the configuration of the session that it opens.

        Raises:
            ValueError: the configuration is too long for a key.
        """
        expires_at = int(time.time()) + seconds
        claims: dict[str, object] = {"exp": expires_at, "id": secrets.token_hex(8)}
        if session is not None:
            claims["session"] = session
        payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()
        if len(payload) > _MAX_SESSION_BYTES:
            raise ValueError(f"It is longer than {_MAX_SESSION_BYTES} bytes. Send the rest in a session.update.")
        return ShortKey(f"{_PREFIX}{_encoded(payload)}.{self._signature(payload)}", expires_at, session)

    def check(self, key: str, client: str) -> ShortKey | None:
        """Return a short-lived key; None if the text is not one that this server has issued.

        Args:
            key: the text that a client sent.
            client: address of the client.

        Raises:
            AuthError: the key has expired, or another client uses it.
        """
        payload, _, signature = key.removeprefix(_PREFIX).partition(".")
        try:
            data = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        except ValueError:
            return None
        if not key.startswith(_PREFIX) or not hmac.compare_digest(self._signature(data).encode(), signature.encode()):
            return None
        claims = json.loads(data)
        if claims["exp"] <= time.time():
            raise AuthError("The short-lived API key has expired. Request a new one.", "expired_api_key")
        if self._clients.first(claims["id"], client, claims["exp"]) != client:
            raise AuthError("Another client uses this short-lived API key. Request a new one.", "invalid_api_key")
        return ShortKey(key, claims["exp"], claims.get("session"))

    def _signature(self, payload: bytes) -> str:
        return _encoded(hmac.digest(self._secret, payload, "sha256"))


class _Clients:
    """The first client of each key."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, int]] = {}

    def first(self, key: str, client: str, expires_at: int) -> str:
        """Return the first client that used a key, which may be this one."""
        now = time.time()
        self._known = {name: each for name, each in self._known.items() if each[1] > now}
        return self._known.setdefault(key, (client, expires_at))[0]


class _CommonClients(_Clients):
    """The same for all processes of a server: one file per key, which only the first process can make."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def first(self, key: str, client: str, expires_at: int) -> str:
        """Return the first client that used a key, which may be this one."""
        if key in self._known:
            return super().first(key, client, expires_at)
        for file in self._folder.iterdir():
            if file.suffix != ".new" and int(file.suffix[1:]) <= time.time():
                file.unlink(missing_ok=True)
        target, own = self._folder / f"{key}.{expires_at}", self._folder / f"{secrets.token_hex(8)}.new"
        own.write_text(client, "utf-8")
        with contextlib.suppress(FileExistsError):
            os.link(own, target)
        own.unlink()
        return super().first(key, target.read_text("utf-8"), expires_at)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
