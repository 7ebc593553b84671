"""Spans of streams, files and steps for OpenTelemetry, where an exporter is configured. They never hold text.

The only module that imports OpenTelemetry, which is in the extra `otel`. A span is recorded when its work has ended,
so that without an exporter nothing remains but the question whether there is one.
"""

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from legato.engine.worker import Step
from legato.installation import install_command
from legato.version import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer, TracerProvider

logger = logging.getLogger("legato.serve")

Attributes = dict[str, str | int | float | bool]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
#: Time to send the last spans at the end of the server, and more of it if the collector accepts connections.
_CLOSE_SECONDS, _MORE_SECONDS = 1.0, 4.0


@dataclass(frozen=True)
class Tracing:
    """Records spans.

    Attributes:
        tracer: of OpenTelemetry.
        own: the provider to shut down at the end; None if the program has its own.
    """

    tracer: "Tracer"
    own: "TracerProvider | None"

    def record(self, name: str, seconds: float, attributes: Attributes, error: str | None = None) -> None:
        """Record a span that ends now.

        Args:
            attributes: what it was; no text of a user.
            error: the kind of error that ended it.
        """
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - only in the extra

        end = time.time_ns()
        span = self.tracer.start_span(name, attributes=attributes, start_time=end - round(seconds * 1e9))
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def on_step(self, step: Step) -> None:
        """Record a step of the engine."""
        self.record(
            "legato.step", step.seconds,
            {"legato.rows": step.rows, "legato.frames": step.frames, "legato.late": round(step.late, 4)},
        )  # fmt: skip

    def close(self) -> None:
        """Send what was not sent yet. The exporter would retry for long if its collector is gone."""
        if self.own is None:
            return
        accepts = threading.Event()
        closing = _begun(getattr(self.own, "shutdown"))  # noqa: B009 - of the SDK
        _begun(partial(_connect, accepts))
        closing.join(_CLOSE_SECONDS)
        if accepts.is_set():
            closing.join(_MORE_SECONDS)


class ContextMiddleware:
    """Makes the spans of a request children of the span that its header `traceparent` names (W3C Trace Context)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request in the context of its caller."""
        from opentelemetry import context, propagate  # noqa: PLC0415 - only in the extra

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
        token = context.attach(propagate.extract(headers))
        try:
            await self._app(scope, receive, send)
        finally:
            context.detach(token)


@contextmanager
def span(tracing: Tracing | None, name: str) -> Iterator[Attributes]:
    """Record a span around a block, which may add attributes; its error is that of the span."""
    attributes: Attributes = {}
    if tracing is None:
        yield attributes
        return
    started, error = time.monotonic(), None
    try:
        yield attributes
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        tracing.record(name, time.monotonic() - started, attributes, error)


def open_tracing() -> Tracing | None:
    """Return what records spans; None unless an exporter is configured.

    It is configured by the environment variables of OpenTelemetry, such as `OTEL_EXPORTER_OTLP_ENDPOINT`, or by a
    provider that the program has set.
    """
    provider, own = _providers_of_program(), False
    if provider is None and _is_configured():
        provider, own = _new_provider(), True
    if provider is None:
        return None
    return Tracing(provider.get_tracer("legato", __version__), provider if own else None)


def _begun(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _connect(accepts: threading.Event) -> None:
    """Connect with the collector that the environment names, and set the event if it accepts."""
    parts = urlsplit(next(filter(None, map(os.environ.get, _ENDPOINTS)), ""))
    with contextlib.suppress(OSError, ValueError):  # it is gone; no port is written so
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=_CLOSE_SECONDS).close()
        accepts.set()


def _providers_of_program() -> "TracerProvider | None":
    """Return the provider that the program has set, if it has one; nothing is imported for it."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        return None
    from opentelemetry import trace  # noqa: PLC0415 - only in the extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    provider = trace.get_tracer_provider()
    return provider if isinstance(provider, TracerProvider) else None


def _is_configured() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(map(os.environ.get, _ENDPOINTS)):
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), _HTTP)
    if protocol != _HTTP:
        logger.warning("OpenTelemetry: spans are sent by %s only, not by %s: none are sent.", _HTTP, protocol)
    return protocol == _HTTP


def _new_provider() -> "TracerProvider | None":
    """Return a provider that sends spans as the environment says; None, with a warning, without the packages."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        logger.warning("OpenTelemetry is configured but not installed. Install it with: %s", install_command("otel"))
        return None
    given = Resource.create()  # from the environment
    named = not str(given.attributes[SERVICE_NAME]).startswith("unknown_service")
    resource = given if named else given.merge(Resource({SERVICE_NAME: "legato"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
