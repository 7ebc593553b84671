"""OpenAI's list of models, which has one entry: the model that is served."""

import re
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request

from legato.serve.core.service import service_of
from legato.serve.errors import ErrorBody, ModelNotFoundError
from legato.serve.settings import Settings

router = APIRouter(prefix="/v1", tags=["models"])

#: Names that clients have built in, also with a date at the end; each means the model that is served.
ALIASES = frozenset(
    {
        "whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize",
        "gpt-realtime-whisper",
    }
)  # fmt: skip
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Model(BaseModel):
    """A model as OpenAI describes it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "legato"


class ModelList(BaseModel):
    """The answer of `/v1/models`."""

    object: Literal["list"] = "list"
    data: list[Model]


def check_model(name: str, settings: Settings) -> str:
    """Return the name of the model that a client means. No request makes the server load another model.

    Raises:
        ModelNotFoundError: the client means another model.
    """
    if name != settings.model and _DATE.sub("", name) not in ALIASES:
        raise ModelNotFoundError(
            f"The model {name[:100]!r} is not served. Ask for {settings.model!r}, or for one of "
            f"{', '.join(sorted(ALIASES))}, which mean the same."
        )
    return settings.model


@router.get("/models", summary="List the model")
def list_models(request: Request) -> ModelList:
    """Return the model that the server has loaded."""
    service = service_of(request)
    return ModelList(data=[Model(id=service.settings.model, created=service.shared.started)])


@router.get(
    "/models/{name:path}",
    summary="Describe the model",
    responses={404: {"description": "The model is not served.", "model": ErrorBody}},
)
def get_model(name: str, request: Request) -> Model:
    """Return the model under its own name, or under a name that means the same."""
    service = service_of(request)
    check_model(name, service.settings)
    return Model(id=name, created=service.shared.started)
