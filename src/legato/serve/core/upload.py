"""Uploads, limited while they arrive.

A file is stored in a temporary file without a name, so it disappears with the request, even if the process is killed.
The name that the client gives it is never used.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, TypeVar, cast

from pydantic import BaseModel
from starlette.datastructures import FormData, ImmutableMultiDict, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from legato.serve.core.drain import Drain
from legato.serve.core.held import BODIES
from legato.serve.errors import (
    ApiError,
    ClientLeftError,
    ErrorBody,
    IdleError,
    InvalidValueError,
    NoRoomError,
    SlowUploadError,
    UploadTooLargeError,
    logger,
)
from legato.serve.settings import Settings

T = TypeVar("T")

_MAX_FIELDS = 200
_MAX_FIELD_BYTES = 100_000
_SPOOLED_BYTES = 1_000_000
_SMALL_BODY_SECONDS = 60.0

#: The refusals of a form with a file, for the OpenAPI description.
FORM_ERRORS: dict[int | str, dict[str, Any]] = {
    408: {"description": "The request did not arrive in time.", "model": ErrorBody},
    413: {"description": "The file is too large, or its audio too long.", "model": ErrorBody},
    415: {"description": "The body is not a multipart form.", "model": ErrorBody},
    503: {"description": "The server has no room now; try again later.", "model": ErrorBody},
}


def form_body(fields: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a form with these fields."""
    content = {"multipart/form-data": {"schema": fields.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


@asynccontextmanager
async def read_form(request: Request, settings: Settings) -> AsyncIterator[FormData]:
    """Read a multipart form with at most one file, which is removed at the end of the `async with` block.

    Raises:
        ApiError: another type of body, a malformed body, a limit that is exceeded, or a client that disconnected.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise ApiError(415, "Send the fields as multipart/form-data.", code="unsupported_media_type")
    with _upload_errors(settings):
        parser = MultiPartParser(
            request.headers,
            _limited(request, settings),
            max_files=1,
            max_fields=_MAX_FIELDS,
            max_part_size=_MAX_FIELD_BYTES,
        )
        async with _drain(request).until_abandoned(), asyncio.timeout(settings.max_upload_seconds):
            form = await parser.parse()
    try:
        yield form
    finally:
        await form.close()


@asynccontextmanager
async def read_body(request: Request, settings: Settings) -> AsyncIterator[BinaryIO]:
    """Read a body that is the file itself, which is removed at the end of the `async with` block.

    Raises:
        ApiError: a limit that is exceeded, or a client that disconnected.
    """
    with SpooledTemporaryFile(_SPOOLED_BYTES) as file:
        with _upload_errors(settings):
            async with _drain(request).until_abandoned(), asyncio.timeout(settings.max_upload_seconds):
                async for piece in _limited(request, settings):
                    await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(file.seek, 0)  # writes what is buffered
        yield cast("BinaryIO", file)


async def read_small_body(request: Request, max_bytes: int, settings: Settings) -> bytes:
    """Read a body into memory.

    Raises:
        ApiError: it has more than `max_bytes`, takes too long to arrive, or the client disconnected; or there is no
            memory for more bodies that are not complete.
    """
    body = bytearray()
    declared = request.headers.get("content-length", "")
    expected = int(declared) if declared.isdigit() else 0
    with _upload_errors(settings), BODIES.body() as held:
        _check_size(expected, max_bytes)
        held.grow(expected)  # refused now rather than in the middle
        async with asyncio.timeout(_SMALL_BODY_SECONDS):
            async for piece in _pieces(request, settings):
                body += piece
                held.grow(max(0, len(body) - held.size))
                _check_size(len(body), max_bytes)
    return bytes(body)


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise ApiError(413, f"The body is larger than {most} bytes, which is the limit.", code="too_large")


def file_of(form: FormData) -> UploadFile:
    """Return the uploaded file of a form.

    Raises:
        InvalidValueError: the form has none.
    """
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise InvalidValueError("file", "is missing: send the audio as a form field with a file name.")
    return file


def texts_of(form: FormData) -> ImmutableMultiDict[str, str]:
    """Return the text fields of a form."""
    return ImmutableMultiDict((name, value) for name, value in form.multi_items() if isinstance(value, str))


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Await work, but cancel it when the client disconnects. The body of the request must have been read.

    Raises:
        ClientLeftError: the client disconnected.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientLeftError
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _drain(request: Request) -> Drain:
    drain: Drain = request.app.state.service.drain
    return drain


@contextmanager
def _upload_errors(settings: Settings) -> Iterator[None]:
    """Turn what can go wrong during an upload into errors for the client."""
    try:
        yield
    except TimeoutError:
        raise SlowUploadError(settings.max_upload_seconds) from None
    except MultiPartException as error:
        raise ApiError(400, f"The form cannot be read: {error.message}", code="invalid_form") from None
    except ClientDisconnect:
        raise ClientLeftError from None
    except OSError as error:
        logger.error("an upload cannot be stored: %s", error)
        raise NoRoomError from None


async def _limited(request: Request, settings: Settings) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives, as long as it stays within the limits."""
    declared = request.headers.get("content-length", "")
    received = 0
    if declared.isdigit() and int(declared) > settings.max_upload_bytes:
        raise UploadTooLargeError(settings.max_upload_bytes)
    async for piece in _pieces(request, settings):
        received += len(piece)
        if received > settings.max_upload_bytes:
            raise UploadTooLargeError(settings.max_upload_bytes)
        yield piece


async def _pieces(request: Request, settings: Settings) -> AsyncGenerator[bytes, None]:
    """Yield a body as it arrives, as long as something arrives."""
    pieces = request.stream()
    while True:
        try:
            async with asyncio.timeout(settings.idle_seconds):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise IdleError(settings.idle_seconds) from None
        if piece is None:
            return
        yield piece
