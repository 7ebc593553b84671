"""Whether the server lives, and whether it takes work."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.requests import Request

from legato.serve.core.service import service_of

router = APIRouter(tags=["operation"])


@router.get("/health", summary="Is it alive?")
def health() -> dict[str, str]:
    """Answer as long as the process works."""
    return {"status": "ok"}


@router.get("/ready", summary="Does it take work?", responses={503: {"description": "It is shutting down."}})
def ready(request: Request) -> JSONResponse:
    """Answer 200 when new work is taken, 503 while the server shuts down."""
    draining = service_of(request).drain.begun
    return JSONResponse({"status": "draining" if draining else "ready"}, 503 if draining else 200)
