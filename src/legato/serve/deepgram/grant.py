"""Short-lived keys as Deepgram grants them: `POST /v1/auth/grant`."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from legato.serve.core.service import service_of
from legato.serve.errors import ErrorBody

router = APIRouter(prefix="/v1/auth", tags=["keys"])

_SECONDS = 30
_ERRORS: dict[int | str, dict[str, Any]] = {400: {"description": "A field is wrong.", "model": ErrorBody}}


class GrantRequest(BaseModel):
    """A request for a key."""

    model_config = ConfigDict(strict=True)  # true is no number of seconds

    ttl_seconds: float | None = Field(_SECONDS, ge=1, le=3600, description="Lifetime of the key in seconds.")


class Grant(BaseModel):
    """A short-lived key, to be sent as `Authorization: Bearer KEY`."""

    access_token: str
    expires_in: float


@router.post("/grant", summary="Create a short-lived key, as Deepgram does", responses=_ERRORS)
def grant(request: Request, asked: GrantRequest | None = None) -> Grant:
    """Create a key that one client can use until it expires. Open connections outlive the key."""
    seconds = (asked.ttl_seconds if asked else None) or _SECONDS
    return Grant(access_token=service_of(request).short_keys.issue(round(seconds)).value, expires_in=seconds)
