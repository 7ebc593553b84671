"""The ASGI application."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from legato.engine.engine import Engine
from legato.engine.worker import Step
from legato.recognizer import Recognizer
from legato.serve import deepgram, docs, health, metrics, native, openai, web
from legato.serve.auth import AuthMiddleware
from legato.serve.core.admission import LiveStreams
from legato.serve.core.aside import ASIDE
from legato.serve.core.capacity import measured_streams
from legato.serve.core.drain import Drain
from legato.serve.core.files import Files
from legato.serve.core.lateness import Lateness
from legato.serve.core.parts import Parts
from legato.serve.core.service import Service, Shared
from legato.serve.errors import add_error_handlers
from legato.serve.logs import RequestLogMiddleware, log_event
from legato.serve.metrics import Metrics
from legato.serve.openapi import describe
from legato.serve.routing import HeadMiddleware, not_found
from legato.serve.settings import Settings
from legato.serve.short_keys import ShortKeys
from legato.serve.tracing import ContextMiddleware, Tracing, open_tracing
from legato.serve.wyoming.server import serve_wyoming
from legato.version import __version__

INTERFACES = (openai, deepgram, native, web)
OPERATION = (health, metrics, docs)
#: Response headers that pages of other origins may read.
EXPOSED_HEADERS = ("dg-error", "dg-request-id", "Retry-After", "WWW-Authenticate")

#: Streams of an engine whose server has measured how many it holds; no machine holds more.
_MOST_STREAMS = 10_000
_MAX_BATCH = 16


def create_app(recognizer: Recognizer, settings: Settings, wyoming: socket.socket | None = None) -> FastAPI:
    """Return the ASGI application, for uvicorn or another ASGI server.

    The application has its own engine, which is closed when the application shuts down. `app.state.service` holds what
    the interfaces share; await `app.state.service.drain.finish(seconds)` before a shutdown to finish running work.

    Args:
        recognizer: the model.
        settings: the settings of the server.
        wyoming: a bound socket on which Wyoming is served while the application runs.
    """
    return create_shared_app(recognizer, settings, wyoming, Shared())


def create_shared_app(
    recognizer: Recognizer, settings: Settings, wyoming: socket.socket | None, shared: Shared
) -> FastAPI:
    """Return the application as one of several processes runs it that are one server; see `create_app`."""
    tracing = open_tracing()
    service = _service(recognizer, settings, shared, tracing)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with serve_wyoming(service, wyoming) as app.state.wyoming:
            yield
        service.engine.close(cancel=True)
        service.files.close()
        await ASIDE.close()
        if tracing is not None:
            tracing.close()

    app = FastAPI(
        title="Legato", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Streaming multilingual speech recognition on an ordinary CPU.",
    )  # fmt: skip
    app.state.service = service
    for part in (*INTERFACES, *OPERATION):
        app.include_router(part.router)
    app.router.default = not_found
    add_error_handlers(app)
    describe(app)
    # From the innermost to the outermost: pages may read refusals too, and the log has every request.
    app.add_middleware(HeadMiddleware)
    app.add_middleware(AuthMiddleware, settings=settings, short_keys=service.short_keys)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allow_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(RequestLogMiddleware, metrics=service.metrics)
    if tracing is not None:
        app.add_middleware(ContextMiddleware)
    return app


def _service(recognizer: Recognizer, settings: Settings, shared: Shared, tracing: Tracing | None) -> Service:
    tally = shared.tally
    recorded, lateness = Metrics(tally), Lateness()
    if not settings.max_streams:
        measured = measured_streams(recognizer, settings.defaults)
        tally.set("capacity", measured)
        recorded.measured.set(measured)
        log_event("live streams measured", streams=measured)

    def on_step(step: Step) -> None:
        recorded.on_step(step)
        lateness.on_step(step)
        if tracing is not None:
            tracing.on_step(step)

    # The limits are those of all processes, so that of one engine must not be reached before.
    most = (settings.max_streams or _MOST_STREAMS) + settings.max_files
    engine = Engine(recognizer, max_streams=most, max_batch=_MAX_BATCH, on_step=on_step)
    shares = engine, settings, recorded, Drain(), tally, tracing
    parts = Parts(*shares)
    keys = ShortKeys(settings.api_keys, shared.secret, shared.folder)
    return Service(*shares, LiveStreams(parts, lateness), Files(parts), keys, shared)
