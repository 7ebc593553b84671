"""What the middleware of Ray's proxies makes of a replica that is gone, with a proxy that is played here."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed")
pytest.importorskip("starlette", reason="the extra 'serve' is not installed")

from starlette.types import Message, Receive, Scope, Send

from legato.contrib.ray import proxy
from legato.contrib.ray.proxy import ReplicaGoneMiddleware

App = Callable[[Scope, Receive, Send], Awaitable[None]]
HTTP: Scope = {"type": "http", "path": "/v1/models"}
SOCKET: Scope = {"type": "websocket", "path": "/v1/stream", "extensions": {"websocket.http.response": {}}}


def exchange(app: App, scope: Scope, *, left: bool = False, runs: bool = False) -> list[Any]:
    """Return what a client receives of a proxy with this inner application."""
    sent: list[Any] = []

    async def receive() -> Message:
        if left:
            return {"type": f"{scope['type']}.disconnect"}
        await asyncio.sleep(1000)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        middleware = ReplicaGoneMiddleware(app)
        middleware._running = runs  # what the controller said
        middleware._asked = float("inf")
        await middleware(scope, receive, send)

    asyncio.run(run())
    return sent


async def dies(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """As Ray does when the replica of a request dies before it has answered."""


async def waits(_scope: Scope, _receive: Receive, send: Send) -> None:
    """As Ray does while no replica runs."""
    await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"at last"})


async def waits_long(_scope: Scope, receive: Receive, _send: Send) -> None:
    """As Ray does while no replica ever runs."""
    await receive()


async def complains(_scope: Scope, _receive: Receive, send: Send) -> None:
    """As Ray does when a deployment is unavailable."""
    await send({"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"Deployment(name='legato') is unavailable"})


async def fails(_scope: Scope, _receive: Receive, send: Send) -> None:
    """As a replica does."""
    await send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


def refused(sent: list[Any], kind: str = "http.response") -> None:
    start, body = sent
    assert (start["type"], start["status"]) == (f"{kind}.start", 503)
    headers = dict(start["headers"])
    assert headers[b"retry-after"] == b"10"
    assert headers[b"content-type"] == b"application/json"
    error = json.loads(body["body"])["error"]
    assert (error["type"], error["code"]) == ("server_error", "replica_gone")


@pytest.mark.parametrize("app", [dies, complains])
def test_a_request_whose_replica_died_is_answered(app: App) -> None:
    refused(exchange(app, HTTP))


def test_a_socket_that_no_replica_accepted_is_refused() -> None:
    refused(exchange(dies, SOCKET), "websocket.http.response")
    [close] = exchange(dies, {**SOCKET, "extensions": {}})
    assert (close["type"], close["code"]) == ("websocket.close", 1013)


def test_a_wait_has_a_limit_while_no_replica_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "_WAIT_SECONDS", 0.05)
    refused(exchange(waits_long, HTTP))
    assert exchange(waits, HTTP, runs=True)[-1]["body"] == b"at last"


def test_answers_of_replicas_stay_as_they_are() -> None:
    assert [message["type"] for message in exchange(fails, HTTP)] == ["http.response.start", "http.response.body"]
    assert exchange(fails, HTTP)[0]["status"] == 500


def test_a_stream_that_is_lost_gets_a_close_frame() -> None:
    async def loses(_scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "{}"})

    sent = exchange(loses, SOCKET)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert sent[-1]["code"] == 1013
    assert len(sent[-1]["reason"].encode()) <= 123

    async def closes(scope: Scope, receive: Receive, send: Send) -> None:
        await loses(scope, receive, send)
        await send({"type": "websocket.close", "code": 1000})

    assert [message.get("code") for message in exchange(closes, SOCKET)] == [None, None, 1000]

    async def is_left(scope: Scope, receive: Receive, send: Send) -> None:
        await loses(scope, receive, send)
        await receive()

    assert exchange(is_left, SOCKET, left=True)[-1]["type"] == "websocket.send"
