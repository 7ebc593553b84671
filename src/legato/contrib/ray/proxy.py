"""What the proxies of Ray do when a replica is gone: answer in Legato's form, after a wait with a limit.

Ray's proxies let requests wait without a limit until a replica runs again, and end a WebSocket whose replica died
without a close frame. Ray imports `middlewares` in the process of every proxy, because `PROXY_VARIABLES` names it.
Nothing of the server is imported here: a proxy that starts slowly counts as unhealthy.
"""

import asyncio
import time

from ray import serve
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Variables of Ray for its controller and its proxies: the import path of `middlewares`, and the seconds that a proxy
#: may take to start, which are 5 otherwise.
PROXY_VARIABLES = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "legato.contrib.ray.proxy.middlewares",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
}

#: Name of the application and of its deployment.
NAME = "legato"
#: Seconds that a request waits before it is asked whether any replica runs, and for how long the answer holds.
_WAIT_SECONDS = 10.0
_KNOWN_SECONDS = 2.0
_RETRY_SECONDS = 10
#: Of WebSockets: try again later.
_TRY_AGAIN = 1013
_CODE, _GONE = "replica_gone", "The replica that serves this is gone."


def middlewares() -> list[Middleware]:
    """Return the middlewares of a proxy."""
    return [Middleware(ReplicaGoneMiddleware)]


class ReplicaGoneMiddleware:
    """Answers requests whose replica is gone with 503, and closes their WebSockets with a close frame."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._asked, self._running = 0.0, True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        serving = asyncio.ensure_future(self._app(scope, exchange.receive, exchange.send))
        begun = asyncio.ensure_future(exchange.begun.wait())
        try:
            while not (await asyncio.wait({serving, begun}, timeout=_WAIT_SECONDS, return_when="FIRST_COMPLETED"))[0]:
                if not await self._runs():
                    break
            else:
                await serving
        finally:
            begun.cancel()
            serving.cancel()
        if exchange.left or exchange.ended:
            return
        if not exchange.begun.is_set():
            await _refuse(scope, send)
        elif scope["type"] == "websocket":
            await send(
                {"type": "websocket.close", "code": _TRY_AGAIN, "reason": f"{_CODE}: {_GONE} Open a new stream."}
            )

    async def _runs(self) -> bool:
        """Return whether a replica runs, as Ray's controller said in the last seconds."""
        if time.monotonic() - self._asked > _KNOWN_SECONDS:
            self._asked = time.monotonic()
            self._running = await asyncio.to_thread(_some_replica_runs)
        return self._running


class _Exchange:
    """The messages of a request and what they show.

    Attributes:
        begun: the answer of a replica has begun.
        ended: the answer is complete, or the socket closed.
        left: the client has left.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.begun = asyncio.Event()
        self.ended = self.left = self._is_rays = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.left |= message["type"].endswith(".disconnect")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 500:
            # A replica answers in JSON; what Ray itself says is plain text.
            self._is_rays = dict(message.get("headers", ())).get(b"content-type", b"").startswith(b"text/plain")
        if self._is_rays:
            return
        self.begun.set()
        self.ended |= message["type"] == "websocket.close"
        self.ended |= message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)


async def _refuse(scope: Scope, send: Send) -> None:
    """Answer a request, or the handshake of a WebSocket, with 503 in OpenAI's form."""
    message = f"{_GONE} Try again later."
    error = {"message": message, "type": "server_error", "param": None, "code": _CODE}
    headers = {"retry-after": str(_RETRY_SECONDS), "dg-error": f"{_CODE.upper()}: {message}"}
    response = JSONResponse({"error": error}, 503, headers)
    kind = "http.response" if scope["type"] == "http" else "websocket.http.response"
    if scope["type"] == "websocket" and kind not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _TRY_AGAIN, "reason": f"{_CODE}: {message}"})
        return
    await send({"type": f"{kind}.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": f"{kind}.body", "body": response.body})


def _some_replica_runs() -> bool:
    try:
        states = serve.status().applications[NAME].deployments[NAME].replica_states
    except Exception:  # whatever Ray raises while its controller is away
        return False
    return any(count for state, count in states.items() if str(getattr(state, "value", state)) == "RUNNING")
