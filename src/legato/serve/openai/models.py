"""OpenAI's list of models: the one that is served."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request

from legato.serve.core.service import service_of
from legato.serve.errors import ApiError, ErrorBody
from legato.serve.settings import Settings

router = APIRouter(prefix="/v1", tags=["models"])

ALIASES = frozenset({"whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"})
"""Names that clients have built in: they mean the model that is served too."""


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
    """Give the name of the model that a client means. No request ever makes the server load another one.

    Raises:
        ApiError: it means another one.
    """
    if name != settings.model and name not in ALIASES:
        raise ApiError(
            404,
            f"The model {name[:100]!r} is not served here. Ask for {settings.model!r}, or one of "
            f"{', '.join(sorted(ALIASES))}, which mean the same.",
            code="model_not_found",
            param="model",
        )
    return settings.model


@router.get("/models", summary="List the model")
def list_models(request: Request) -> ModelList:
    """Name the model that the server has loaded."""
    service = service_of(request)
    return ModelList(data=[Model(id=service.settings.model, created=service.started)])


@router.get(
    "/models/{name:path}",
    summary="Describe the model",
    responses={404: {"description": "Not served here.", "model": ErrorBody}},
)
def get_model(name: str, request: Request) -> Model:
    """Describe the model under its name, or under one that means the same."""
    service = service_of(request)
    check_model(name, service.settings)
    return Model(id=name, created=service.started)
