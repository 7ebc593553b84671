"""The ASGI application."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from legato.engine.engine import Engine
from legato.recognizer import Recognizer
from legato.serve import deepgram, docs, health, metrics, native, openai, web
from legato.serve.auth import AuthMiddleware
from legato.serve.core.admission import LiveStreams
from legato.serve.core.drain import Drain
from legato.serve.core.files import Files
from legato.serve.core.service import Service
from legato.serve.errors import add_error_handlers
from legato.serve.logs import RequestLogMiddleware
from legato.serve.metrics import Metrics
from legato.serve.openapi import describe
from legato.serve.routing import HeadMiddleware, not_found
from legato.serve.settings import Settings
from legato.serve.short_keys import ShortKeys
from legato.serve.wyoming.server import serve_wyoming
from legato.version import __version__

INTERFACES = (openai, deepgram, native, web)
OPERATION = (health, metrics, docs)
#: Response headers that pages of other origins may read.
EXPOSED_HEADERS = ("dg-error", "dg-request-id", "Retry-After", "WWW-Authenticate")


def create_app(recognizer: Recognizer, settings: Settings, wyoming: socket.socket | None = None) -> FastAPI:
    """Return the ASGI application, for uvicorn or another ASGI server.

    The application has its own engine, which is closed when the application shuts down. `app.state.service` holds what
    the interfaces share; await `app.state.service.drain.finish(seconds)` before a shutdown to finish running work.

    Args:
        recognizer: the model.
        settings: the settings of the server.
        wyoming: a bound socket on which Wyoming is served while the application runs.
    """
    service = _service(recognizer, settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with serve_wyoming(service, wyoming) if wyoming else nullcontext():
            yield
        service.engine.close(cancel=True)
        service.files.close()

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
    return app


def _service(recognizer: Recognizer, settings: Settings) -> Service:
    recorded = Metrics()
    engine = Engine(recognizer, max_streams=settings.max_streams + settings.max_files, on_step=recorded.on_step)
    drain = Drain()
    live = LiveStreams(engine, settings, recorded, drain)
    files = Files(engine, settings, recorded, drain)
    return Service(engine, settings, recorded, drain, live, files, ShortKeys(settings.api_keys), round(time.time()))
