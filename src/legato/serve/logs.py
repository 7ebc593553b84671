"""Logs as JSON, one object per line, on standard error.

They never hold audio, keys or query strings, and transcripts only if the settings ask for them.
"""

import asyncio
import json
import logging
import sys
import time
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from legato.serve.errors import ERROR
from legato.serve.metrics import Metrics

logger = logging.getLogger("legato.serve")

#: Paths that monitors request all the time; these requests are logged only if they fail.
_QUIET = frozenset({"/health", "/ready", "/metrics"})
#: Methods that are labels of metrics. A client may send any other word, so the number of labels must be bounded.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: time, level, process, logger, message, and the fields of `log_event`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logs(level: int = logging.INFO) -> None:
    """Send the records of the server, the library, uvicorn and OpenTelemetry to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("legato", "uvicorn", "opentelemetry"):
        each = logging.getLogger(name)
        each.handlers = [handler]
        each.propagate = False
    logging.getLogger("legato").setLevel(level)
    for name in ("uvicorn", "opentelemetry"):
        logging.getLogger(name).setLevel(logging.WARNING)  # below, uvicorn repeats what is logged here


def log_event(message: str, **fields: object) -> None:
    """Log a message with fields."""
    logger.info(message, extra={"fields": fields})


class RequestLogMiddleware:
    """Logs and counts the requests of an application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request and log its outcome."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 101 if scope["type"] == "websocket" else 499  # without a response: the client disconnected first

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except (asyncio.CancelledError, ClientDisconnect, WebSocketDisconnect):
            raise  # the client left, which is not a failure
        except BaseException:
            status = 500 if status in {101, 499} else status
            raise
        finally:
            seconds = time.monotonic() - started
            route = getattr(scope.get("route"), "path", "other")
            method = scope.get("method", "WEBSOCKET")
            self._metrics.requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
            if scope["path"] not in _QUIET or status >= 400:
                client = scope.get("client")
                error = scope.get(ERROR)
                log_event(
                    "request",
                    method=method[:20], path=scope["path"][:200], status=status, seconds=round(seconds, 3),
                    client=client[0] if client else None, **(error.fields if error else {}),
                )  # fmt: skip
