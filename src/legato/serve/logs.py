"""Logs as JSON, an object a line on standard error. Never audio, keys or query strings; texts only when asked."""

import json
import logging
import sys
import time
from datetime import UTC, datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from legato.serve.metrics import Metrics

logger = logging.getLogger("legato.serve")

_QUIET = frozenset({"/health", "/ready", "/metrics"})
"""Requests that come all the time, and are told only when they fail."""


class JsonFormatter(logging.Formatter):
    """A record as a JSON object: time, level, logger, message, and the fields that came with it."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logs(level: int = logging.INFO) -> None:
    """Send the server's, the library's and uvicorn's records to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("legato", "uvicorn"):
        each = logging.getLogger(name)
        each.handlers = [handler]
        each.propagate = False
    logging.getLogger("legato").setLevel(level)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it would repeat what we say


def tell(message: str, **fields: object) -> None:
    """Log a message with fields."""
    logger.info(message, extra={"fields": fields})


class RequestLog:
    """An application in front of another, that logs and counts its requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 101 if scope["type"] == "websocket" else 499  # nothing sent: the client left first

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except BaseException:
            status = 500 if status in {101, 499} else status
            raise
        finally:
            seconds = time.monotonic() - started
            route = getattr(scope.get("route"), "path", "other")
            method = scope.get("method", "WEBSOCKET")
            self._metrics.requests.labels(method, route, str(status)).inc()
            if scope["path"] not in _QUIET or status >= 400:
                client = scope.get("client")
                tell(
                    "request",
                    method=method, path=scope["path"][:200], status=status, seconds=round(seconds, 3),
                    client=client[0] if client else None,
                )  # fmt: skip
