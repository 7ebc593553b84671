"""Errors as clients get them, in the form of OpenAI's: {"error": {"message", "type", "param", "code"}}."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from legato.errors import (
    AudioError,
    BusyError,
    ChunkSizeError,
    EngineError,
    LanguageError,
    LegatoError,
    PhraseError,
)

logger = logging.getLogger("legato.serve")

_CLOSE_CODES = {401: 1008, 403: 1008, 408: 1008, 413: 1009, 429: 1013, 503: 1013}
_PARAMS: tuple[tuple[type[LegatoError], str], ...] = (
    (LanguageError, "language"),
    (PhraseError, "prompt"),
    (AudioError, "file"),
    (ChunkSizeError, "chunk_ms"),
)


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorDetail


class ApiError(Exception):
    """What a request did wrong, or why it cannot be served now.

    Attributes:
        status: of the HTTP response.
        message: for people: what was wrong and what to do.
        code: for programs.
        param: the field to blame.
        headers: of the HTTP response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers or {}

    @property
    def close_code(self) -> int:
        """With what a WebSocket is closed after it."""
        return _CLOSE_CODES.get(self.status, 1011 if self.status >= 500 else 1008)

    @property
    def kind(self) -> str:
        """Its `type`."""
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def as_dict(self) -> dict[str, object]:
        """Give the body of the response."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """Give the response."""
        return JSONResponse(self.as_dict(), self.status, self.headers)


def busy(message: str, code: str = "server_busy") -> ApiError:
    """There is no room now; clients may try again."""
    return ApiError(503, message, code=code, headers={"Retry-After": "2"})


def shutting_down() -> ApiError:
    """The server ends and takes no more work."""
    return busy("The server is shutting down. Try again.", "shutting_down")


def as_api_error(error: Exception) -> ApiError:
    """Give any error the form that a client may see: of what nobody foresaw, nothing."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BusyError):
        return busy(str(error))
    if isinstance(error, LegatoError) and not isinstance(error, EngineError):
        param = next((name for kind, name in _PARAMS if isinstance(error, kind)), None)
        return ApiError(400, str(error), param=param, code="invalid_value")
    return ApiError(500, "The server failed; its log says why.", code="internal_error")


def add_error_handlers(app: FastAPI) -> None:
    """Make every error response of an application one of ours."""

    async def known(_request: Request, error: Exception) -> JSONResponse:
        return as_api_error(error).response()

    async def routing(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        return ApiError(error.status_code, f"{error.detail}.", code="invalid_request", headers=headers).response()

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        name = str(first["loc"][-1]) if first["loc"] else None
        return ApiError(400, f"{name}: {first['msg']}.", param=name, code="invalid_value").response()

    app.add_exception_handler(ApiError, known)
    app.add_exception_handler(LegatoError, known)
    app.add_exception_handler(Exception, known)
    app.add_exception_handler(HTTPException, routing)
    app.add_exception_handler(RequestValidationError, invalid)
