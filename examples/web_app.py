"""Mount the server of Legato into a FastAPI application of your own, under /speech.

python examples/web_app.py [PORT]                      needs the extra `serve`
curl -F file=@talk.wav -F model=legato http://127.0.0.1:8000/speech/v1/audio/transcriptions
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

import legato
from legato.serve import Settings, create_app


def build() -> FastAPI:
    """Return the application."""
    speech = create_app(legato.load(), Settings(max_streams=8))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with speech.router.lifespan_context(speech):  # a mounted application is not started by itself
            yield

    app = FastAPI(title="An application with speech", lifespan=lifespan)
    app.mount("/speech", speech)

    @app.get("/")
    def index() -> dict[str, str]:
        return {"transcriptions": "/speech/v1/audio/transcriptions"}

    return app


def main() -> None:
    """Serve on loopback."""
    uvicorn.run(build(), host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)


if __name__ == "__main__":
    main()
