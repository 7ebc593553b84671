"""Requests that no interface handles: HEAD requests, and WebSockets with an unknown path."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from legato.serve.auth import refuse
from legato.serve.errors import ERROR, ApiError


class HeadMiddleware:
    """Answers HEAD wherever the application answers GET, with the same headers and no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        get = {**scope, "method": "GET"}
        try:
            await self._app(get, receive, send_head)
        finally:
            scope.update({name: get[name] for name in ("route", ERROR) if name in get})  # for the request log


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404. Starlette itself answers a WebSocket with 403."""
    if scope["type"] == "websocket":
        await refuse(scope, receive, send, ApiError(404, "Not Found.", code="invalid_request"))
    else:
        raise HTTPException(404)
