"""Liveness and readiness, for monitors and load balancers."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.requests import Request

from legato.serve.core.service import service_of

router = APIRouter(tags=["operation"])


@router.get("/health", summary="Check that the process is alive")
def health() -> dict[str, str]:
    """Answer 200 while the process runs."""
    return {"status": "ok"}


@router.get(
    "/ready",
    summary="Check that new work is accepted",
    responses={503: {"description": "The server is shutting down."}},
)
def ready(request: Request) -> JSONResponse:
    """Answer 200 while new work is accepted, and 503 while the server shuts down."""
    draining = service_of(request).drain.begun
    return JSONResponse({"status": "draining" if draining else "ready"}, 503 if draining else 200)
