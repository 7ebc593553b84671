"""Access control: API keys, and the web pages that may use the server from a browser.

A key is sent as `Authorization: Bearer KEY` or `Authorization: Token KEY`. A browser cannot send headers with a
WebSocket, so it sends the key among the subprotocols: as `openai-insecure-api-key.KEY`, as `token, KEY`, or as
`legato-api-key.BASE64` (URL-safe, without padding), for keys with characters that a subprotocol may not contain.

A client with a permanent key can create short-lived keys for pages (see `short_keys`). These give access to recognition
only.

Without keys, pages of other sites are refused (see `pages`).
"""

import base64
import hashlib
import hmac
from contextlib import suppress

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from legato.serve.errors import ERROR, ApiError, AuthError
from legato.serve.pages import check_page
from legato.serve.settings import Settings
from legato.serve.short_keys import ShortKeys

#: Paths that need no key: their content is that of the package.
PUBLIC = frozenset({"/", "/health", "/ready", "/docs", "/openapi.json"})
#: Prefix of further such paths.
PUBLIC_FOLDER = "/static/"
#: Paths that need a permanent key.
PERMANENT_ONLY = frozenset(
    {"/v1/realtime/client_secrets", "/v1/realtime/transcription_sessions", "/v1/auth/grant", "/metrics"}
)
#: Key of a scope: the configuration of the session that a short-lived key opens, or None.
SESSION = "legato.session"

_SUBPROTOCOL_KEY = "openai-insecure-api-key."
_ENCODED_KEY = "legato-api-key."


class Keys:
    """The valid API keys. A comparison takes the same time for every key."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __contains__(self, key: str) -> bool:
        digest = hashlib.sha256(key.encode()).digest()
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found


class AuthMiddleware:
    """Passes on the requests of clients that may use the application, and refuses the others."""

    def __init__(self, app: ASGIApp, settings: Settings, short_keys: ShortKeys) -> None:
        self._app = app
        self._settings = settings
        self._short_keys = short_keys
        self._keys = Keys(settings.api_keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse a request."""
        if scope["type"] in {"http", "websocket"}:
            try:
                self._check(HTTPConnection(scope))
            except ApiError as error:
                await refuse(scope, receive, send, error)
                return
        await self._app(scope, receive, send)

    def _check(self, connection: HTTPConnection) -> None:
        if not self._keys:
            check_page(connection, self._settings)
            with suppress(AuthError):  # no key is needed, but a short-lived one may carry a session
                self._open_session(key_of(connection) or "", connection)
        elif not _is_public(connection):
            self._check_key(connection)

    def _check_key(self, connection: HTTPConnection) -> None:
        key = key_of(connection)
        if key is None:
            raise AuthError("No API key was given. Send it as 'Authorization: Bearer KEY'.", "missing_api_key")
        if key not in self._keys:
            self._check_short_key(key, connection)

    def _check_short_key(self, key: str, connection: HTTPConnection) -> None:
        if not self._open_session(key, connection):
            raise AuthError("The API key is not valid. Check it, or ask for another.", "invalid_api_key")
        if connection.scope["path"] in PERMANENT_ONLY:
            message = "This needs a permanent API key; a short-lived key gives access to recognition only."
            raise ApiError(403, message, code="insufficient_permissions")

    def _open_session(self, key: str, connection: HTTPConnection) -> bool:
        """Note the session that a short-lived key opens; return whether it is such a key."""
        short = self._short_keys.check(key, connection.client.host if connection.client else "")
        if short is not None:
            connection.scope[SESSION] = short.session
        return short is not None


def _is_public(connection: HTTPConnection) -> bool:
    path = connection.scope["path"]
    # A browser sends OPTIONS without a key to find out whether it may send one.
    preflight = connection.scope["type"] == "http" and connection.scope["method"] == "OPTIONS"
    return preflight or path in PUBLIC or path.startswith(PUBLIC_FOLDER)


def key_of(connection: HTTPConnection) -> str | None:
    """Return the API key of a request, or None."""
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
    """Return a key that was sent in base64; anything else becomes an empty key, which is never valid."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return ""


def subprotocol_for(connection: HTTPConnection, *names: str) -> str | None:
    """Return the subprotocol to accept a WebSocket with: the first that it offers among `names`; never the key."""
    offered: list[str] = list(connection.scope.get("subprotocols") or [])
    return next((name for name in offered if name in names), None)


async def refuse(scope: Scope, receive: Receive, send: Send, error: ApiError) -> None:
    """Answer a request, or the opening handshake of a WebSocket, with an error."""
    scope[ERROR] = error
    response: Response = error.response()
    if scope["path"].endswith("/listen"):  # where Deepgram's clients look for the reason
        response.headers["dg-error"] = error.header
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
        await send({"type": "websocket.close", "code": error.close_code, "reason": error.close_reason})
