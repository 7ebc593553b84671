"""The application: one line for each interface."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from legato.engine.engine import Engine
from legato.recognizer import Recognizer
from legato.serve import docs, health, metrics
from legato.serve.auth import AuthMiddleware
from legato.serve.core.admission import LiveStreams
from legato.serve.core.drain import Drain
from legato.serve.core.files import Files
from legato.serve.core.service import Service
from legato.serve.deepgram import files as deepgram_files
from legato.serve.deepgram import live as deepgram
from legato.serve.errors import add_error_handlers
from legato.serve.logs import RequestLogMiddleware
from legato.serve.metrics import Metrics
from legato.serve.native import files as plain_files
from legato.serve.native import formats as writing
from legato.serve.native import socket as plain
from legato.serve.openai import models, realtime, transcriptions
from legato.serve.openapi import describe
from legato.serve.settings import Settings
from legato.serve.web import page
from legato.serve.wyoming.server import serve_wyoming


def create_app(recognizer: Recognizer, settings: Settings, wyoming: socket.socket | None = None) -> FastAPI:
    """Make the ASGI application, for uvicorn or any other server of such.

    It has an engine of its own, which is closed when the application shuts down. `app.state.service` is what its
    interfaces share; call `await app.state.service.drain.finish(seconds)` before shutting down in good order.
    With a bound socket for Wyoming, it serves that there from its start until it shuts down.
    """
    found = Metrics()
    engine = Engine(recognizer, max_streams=settings.max_streams + settings.max_files, on_step=found.on_step)
    drain = Drain()
    files = Files(engine, settings, found, drain)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with serve_wyoming(app.state.service, wyoming) if wyoming else nullcontext():
            yield
        engine.close(cancel=True)
        files.close()

    app = FastAPI(
        title="Legato", version=version("legato"), lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Streaming multilingual speech recognition on an ordinary CPU.",
    )  # fmt: skip
    live = LiveStreams(engine, settings, found, drain)
    app.state.service = Service(engine, settings, found, drain, live, files, round(time.time()))
    for interface in (transcriptions, realtime, deepgram, deepgram_files, plain, plain_files, writing):
        app.include_router(interface.router)
    for about in (models, health, metrics, docs, page):
        app.include_router(about.router)
    add_error_handlers(app)
    describe(app)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.allow_origins), allow_methods=["*"], allow_headers=["*"]
        )
    app.add_middleware(AuthMiddleware, settings=settings)
    app.add_middleware(RequestLogMiddleware, metrics=found)  # the outermost: it sees what is refused as well
    return app
