"""Errors in the form in which clients receive them, which is OpenAI's: {"error": {"message", "type", "param", "code"}}.

Every reason for a refusal is a class of its own. Programs of ours distinguish errors by class; `code` is for clients.
"""

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
from legato.serve.problems import problem_of

logger = logging.getLogger("legato.serve")

_CLOSE_CODES = {401: 1008, 403: 1008, 408: 1008, 413: 1009, 429: 1013, 503: 1013}
_MAX_REASON_BYTES = 123  # RFC 6455: a control frame has at most 125 bytes, two of which are the code
_MAX_LOGGED = 500
#: Key of a scope: the error with which its request is refused, for the log.
ERROR = "legato.error"
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
    """The body of every error response."""

    error: ErrorDetail


class ApiError(Exception):
    """A request that is wrong, or that cannot be served now.

    Attributes:
        status: status of the HTTP response.
        message: what was wrong and what to do, for people.
        code: the reason, for programs.
        param: the field that is to blame.
        headers: further headers of the HTTP response.
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

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self.status, self.message, self.code, self.param, self.headers)

    @property
    def close_code(self) -> int:
        """The code with which a WebSocket is closed after this error."""
        return _CLOSE_CODES.get(self.status, 1011 if self.status >= 500 else 1008)

    @property
    def close_reason(self) -> str:
        """The reason with which a WebSocket is closed after this error: code and message, at most 123 bytes."""
        text = f"{self.code}: {self.message}" if self.code else self.message
        return text.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")

    @property
    def header(self) -> str:
        """Code and message as the value of a header: one line of ASCII, at most 500 characters."""
        text = f"{(self.code or 'error').upper()}: {self.message}"
        return " ".join(text.encode("ascii", "replace").decode()[:500].split())

    @property
    def fields(self) -> dict[str, object]:
        """What the log says about this error."""
        return {"code": self.code, "param": self.param, "error": self.message[:_MAX_LOGGED]}

    @property
    def kind(self) -> str:
        """The `type` of the body."""
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def as_dict(self) -> dict[str, object]:
        """Return the body of the response."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """Return the response."""
        return JSONResponse(self.as_dict(), self.status, self.headers)


def _restored(status: int, message: str, code: str | None, param: str | None, headers: dict[str, str]) -> ApiError:
    """Return an error that came from another process."""
    return ApiError(status, message, code=code, param=param, headers=headers)


class InvalidValueError(ApiError):
    """A field or option with a value that it cannot have.

    Args:
        param: name of the field; None where no field is to blame.
        problem: what is wrong with it and what it may be; the message begins with the field's name.
    """

    def __init__(self, param: str | None, problem: str) -> None:
        super().__init__(400, f"{param}: {problem}" if param else problem, code="invalid_value", param=param)


class UnsupportedError(ApiError):
    """A request for something that this server does not do."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(400, message, code="unsupported", param=param)


class TooManyPhrasesError(ApiError):
    """More phrases than the settings allow."""

    def __init__(self, given: int, most: int, param: str | None = None) -> None:
        message = f"{f'{param}: ' if param else ''}{given} phrases were given, and at most {most} are accepted."
        super().__init__(400, message, code="too_many_phrases", param=param)


class TooManyLettersError(ApiError):
    """Phrases that are longer together than a server compiles."""

    def __init__(self, given: int, most: int, param: str | None = None) -> None:
        message = f"{f'{param}: ' if param else ''}the phrases have {given} letters, and at most {most} are accepted."
        super().__init__(400, message, code="too_many_phrases", param=param)


class TooLongError(ApiError):
    """A request that takes too long to compute."""

    def __init__(self, seconds: float) -> None:
        super().__init__(413, f"The request takes longer than {seconds:g} s to compute. Send less.", code="too_large")


class ModelNotFoundError(ApiError):
    """A model that is not served."""

    def __init__(self, message: str) -> None:
        super().__init__(404, message, code="model_not_found", param="model")


class AuthError(ApiError):
    """No API key, or one that is not valid."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(401, message, code=code, headers={"WWW-Authenticate": "Bearer"})


class ForeignPageError(ApiError):
    """A request by a web page, or under a host name, that may not use this server."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(403, message, code=code)


class UploadTooLargeError(ApiError):
    """A request body with more bytes than the settings allow."""

    def __init__(self, most_bytes: int) -> None:
        message = (
            f"The request is larger than {most_bytes} bytes, which is the limit. Send a compressed file (such as "
            "Opus), or split it."
        )
        super().__init__(413, message, code="file_too_large", param="file")


class AudioTooLongError(ApiError):
    """A file with more audio than the settings allow."""

    def __init__(self, most_seconds: float) -> None:
        message = f"The file has more than {most_seconds:g} s of audio, which is the limit. Split it."
        super().__init__(413, message, code="audio_too_long", param="file")


class SlowUploadError(ApiError):
    """A request that took too long to arrive."""

    def __init__(self, seconds: float) -> None:
        super().__init__(408, f"The request took longer than {seconds:g} s to arrive.", code="too_slow")


class IdleError(ApiError):
    """A client that has sent nothing for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(408, f"No message was received for {seconds:g} s.", code="idle")


class ClientLeftError(ApiError):
    """A client that disconnected; nobody reads the answer."""

    def __init__(self) -> None:
        super().__init__(499, "The client disconnected.", code="client_left")


class StreamEndError(ApiError):
    """An error after which a live stream cannot continue."""


class StreamTooLongError(StreamEndError):
    """A live stream with more audio than the settings allow."""

    def __init__(self, most_seconds: float) -> None:
        super().__init__(413, f"The stream is longer than {most_seconds:g} s, which is the limit.", code="too_long")


class TooFastError(StreamEndError):
    """A client that sends audio faster than it can be recognized, for too long."""

    def __init__(self, message: str) -> None:
        super().__init__(429, message, code="too_fast")


class SlowReaderError(StreamEndError):
    """A client that has not read its messages for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(408, f"The client read nothing for {seconds:g} s.", code="slow_reader")


class ServerBusyError(ApiError):
    """There is no room now; the client may try again."""

    def __init__(self, message: str, code: str = "server_busy") -> None:
        super().__init__(503, message, code=code, headers={"Retry-After": "2"})


class OverloadedError(ServerBusyError):
    """The server does not keep up with the streams that it has."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The server is {seconds:.1f} s late with its open streams. Try again later.", "overloaded")


class ShuttingDownError(ServerBusyError):
    """The server is about to end and accepts no new work."""

    def __init__(self) -> None:
        super().__init__("The server is shutting down. Try again.", "shutting_down")


class NoRoomError(ServerBusyError):
    """The disk or the memory has no room for an upload."""

    def __init__(self) -> None:
        super().__init__("The server has no room for the file. Try again later.", "no_room")


def as_api_error(error: Exception) -> ApiError:
    """Return any error in the form that a client may see; an unexpected error reveals nothing."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BusyError):
        return ServerBusyError(str(error))
    if isinstance(error, LegatoError) and not isinstance(error, EngineError):
        param = next((name for kind, name in _PARAMS if isinstance(error, kind)), None)
        return ApiError(400, str(error), param=param, code="invalid_value")
    return ApiError(500, "The server failed; its log says why.", code="internal_error")


def add_error_handlers(app: FastAPI) -> None:
    """Make every error response of an application have our form."""

    def respond(request: Request, error: ApiError) -> JSONResponse:
        request.scope[ERROR] = error
        return error.response()

    async def known(request: Request, error: Exception) -> JSONResponse:
        return respond(request, as_api_error(error))

    async def routing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        refusal = ApiError(error.status_code, f"{error.detail}.", code="invalid_request", headers=headers)
        return respond(request, refusal)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = first["loc"][:1] if first["type"] == "json_invalid" else first["loc"][1:] or first["loc"]
        return respond(request, InvalidValueError(".".join(map(str, where)), problem_of(first)))

    app.add_exception_handler(ApiError, known)
    app.add_exception_handler(LegatoError, known)
    app.add_exception_handler(Exception, known)
    app.add_exception_handler(HTTPException, routing)
    app.add_exception_handler(RequestValidationError, invalid)
