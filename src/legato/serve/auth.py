"""Who may use the server: API keys, and which web pages may speak to it from a browser.

A key comes as `Authorization: Bearer KEY` or `Authorization: Token KEY`. Browsers cannot send headers with a WebSocket:
they name it among the subprotocols, as `openai-insecure-api-key.KEY`, as `token, KEY`, or as `legato-api-key.BASE64`
(URL-safe, without padding), for keys with characters that a subprotocol may not have.

Without keys a web page from anywhere could use a server on its visitor's machine. So a request that names another
origin than the server's own is refused then, and on loopback one that names another host (DNS rebinding).
"""

import base64
import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from legato.serve.errors import ApiError
from legato.serve.settings import Settings, is_loopback

PUBLIC = frozenset({"/", "/health", "/ready", "/docs", "/openapi.json"})
"""Paths that need no key: they tell nothing that is not in the package."""

PUBLIC_FOLDER = "/static/"
"""The same for all paths in it."""

_SUBPROTOCOL_KEY = "openai-insecure-api-key."
_ENCODED_KEY = "legato-api-key."


class Keys:
    """Comparison with the known API keys in a time that does not depend on them."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def know(self, key: str) -> bool:
        """Whether a key is one of them."""
        digest = hashlib.sha256(key.encode()).digest()
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found


class AuthMiddleware:
    """An application in front of another, that lets pass who may use it."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._keys = Keys(settings.api_keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] in {"http", "websocket"}:
            refusal = self._refusal(HTTPConnection(scope))
            if refusal is not None:
                await refuse(scope, receive, send, refusal)
                return
        await self._app(scope, receive, send)

    def _refusal(self, connection: HTTPConnection) -> ApiError | None:
        if not self._keys:
            return self._wrong_page(connection)
        path = connection.scope["path"]
        if path in PUBLIC or path.startswith(PUBLIC_FOLDER):
            return None
        if connection.scope["type"] == "http" and connection.scope["method"] == "OPTIONS":
            return None  # browsers ask so whether they may send a key
        key = key_of(connection)
        if key is None:
            return ApiError(
                401,
                "No API key was given. Send it as 'Authorization: Bearer KEY'.",
                code="missing_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if not self._keys.know(key):
            return ApiError(
                401, "The API key is not known here.", code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"}
            )
        return None

    def _wrong_page(self, connection: HTTPConnection) -> ApiError | None:
        host = connection.headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if self._settings.is_local and not self._settings.allow_anonymous and not is_loopback(name):
            return ApiError(403, "Without API keys only localhost is served, under that name.", code="unknown_host")
        origin = connection.headers.get("origin")
        if origin is None or origin in self._settings.allow_origins or urlsplit(origin).netloc == host:
            return None
        return ApiError(
            403, f"Pages of {origin} may not use this server; --allow-origin lets them.", code="unknown_origin"
        )


def key_of(connection: HTTPConnection) -> str | None:
    """Give the API key that a request brings, or None."""
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() in {"bearer", "token"} and value.strip():
        return value.strip()
    if connection.scope["type"] == "websocket":
        offered: list[str] = list(connection.scope.get("subprotocols") or [])
        for name in offered:
            if name.startswith(_SUBPROTOCOL_KEY):
                return name.removeprefix(_SUBPROTOCOL_KEY)
            if name.startswith(_ENCODED_KEY):
                return _decoded(name.removeprefix(_ENCODED_KEY))
        if len(offered) == 2 and offered[0].lower() in {"token", "bearer"}:
            return offered[1]
    return None


def _decoded(text: str) -> str:
    """Give a key that was sent in base64; one that was not is no key."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return ""


def subprotocol_for(connection: HTTPConnection, *names: str) -> str | None:
    """Choose the subprotocol to accept a WebSocket with: the first of ours that it offers; never the key."""
    offered: list[str] = list(connection.scope.get("subprotocols") or [])
    return next((name for name in offered if name in names), None)


async def refuse(scope: Scope, receive: Receive, send: Send, error: ApiError) -> None:
    """Answer a request, or the opening of a WebSocket, with an error."""
    response: Response = error.response()
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    await receive()  # websocket.connect
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await send(
            {"type": "websocket.http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await send({"type": "websocket.http.response.body", "body": response.body})
    else:
        await send({"type": "websocket.close", "code": error.close_code, "reason": error.message[:120]})
