"""Short-lived keys as OpenAI issues them, each with the configuration of the Realtime session that it opens."""

import uuid
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from legato.serve.core.service import Service, service_of
from legato.serve.errors import ErrorBody, InvalidValueError
from legato.serve.openai.realtime_config import RealtimeConfig
from legato.serve.openai.realtime_update import updated
from legato.serve.short_keys import ShortKey

router = APIRouter(prefix="/v1/realtime", tags=["keys"])

_SECONDS = 600
_ERRORS: dict[int | str, dict[str, Any]] = {400: {"description": "A field is wrong.", "model": ErrorBody}}


class ExpiresAfter(BaseModel):
    """The lifetime of a key."""

    anchor: Literal["created_at"] = "created_at"
    seconds: int = Field(_SECONDS, ge=10, le=7200)


class SecretRequest(BaseModel):
    """A request for a key; `session` is as in `session.update`."""

    expires_after: ExpiresAfter = Field(default_factory=lambda: ExpiresAfter(seconds=_SECONDS))
    session: dict[str, Any] = {}


class Secret(BaseModel):
    """A key, with the session that it opens."""

    value: str
    expires_at: int
    session: dict[str, Any]


class SessionRequest(BaseModel):
    """A request for a key in the shape of the beta: the body is the session itself."""

    model_config = ConfigDict(extra="allow")


@router.post("/client_secrets", summary="Create a short-lived key", responses=_ERRORS)
def create_secret(asked: SecretRequest, request: Request) -> Secret:
    """Create a key that opens Realtime sessions of one client with a given configuration, until it expires."""
    key, config = _issue(asked.session, asked.expires_after.seconds, service_of(request))
    session = config.as_dict(_session_id(), beta=False)
    return Secret(value=key.value, expires_at=key.expires_at, session={**session, "expires_at": 0})


@router.post("/transcription_sessions", summary="Create a short-lived key, as in OpenAI's beta", responses=_ERRORS)
def create_session(asked: SessionRequest, request: Request) -> dict[str, Any]:
    """Create a key that opens Realtime sessions of one client with a given configuration, until it expires."""
    key, config = _issue(asked.model_extra or {}, _SECONDS, service_of(request))
    secret = {"value": key.value, "expires_at": key.expires_at}
    return {**config.as_dict(_session_id(), beta=True), "client_secret": secret}


def _issue(session: dict[str, Any], seconds: int, service: Service) -> tuple[ShortKey, RealtimeConfig]:
    config = updated(RealtimeConfig(model=service.settings.model), session)
    if (language := config.requested_language) is not None:
        service.engine.recognizer.bundle.prompt_slot(language)  # raises for a language that the model lacks
    try:
        return service.short_keys.issue(seconds, session), config
    except ValueError as error:
        raise InvalidValueError("session", str(error)) from None


def _session_id() -> str:
    return f"sess_{uuid.uuid4().hex[:20]}"
