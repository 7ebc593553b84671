"""Forms with a file, read within limits while they arrive.

The file goes into a temporary file that has no name, so it is gone with the request, whatever becomes of the process;
the name that the client gives it is never used for anything.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, TypeVar, cast

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from legato.serve.errors import ApiError, busy, logger
from legato.serve.settings import Settings

T = TypeVar("T")

_MAX_FIELDS = 200
_MAX_FIELD_BYTES = 100_000
_SPOOLED_BYTES = 1_000_000


@asynccontextmanager
async def read_form(request: Request, settings: Settings) -> AsyncIterator[FormData]:
    """Read a multipart form with at most one file; leaving the `async with` block removes it.

    Raises:
        ApiError: another type of body, a malformed one, too large, too slow; or the client left.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise ApiError(415, "Send the fields as multipart/form-data.", code="unsupported_media_type")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > settings.max_upload_bytes:
        raise too_large(settings)
    parser = MultiPartParser(
        request.headers,
        _bounded(request, settings),
        max_files=1,
        max_fields=_MAX_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
    )
    try:
        async with asyncio.timeout(settings.max_upload_seconds):
            form = await parser.parse()
    except TimeoutError:
        raise _too_slow(settings) from None
    except MultiPartException as error:
        raise ApiError(400, f"The form cannot be read: {error.message}", code="invalid_form") from None
    except ClientDisconnect:
        raise client_left() from None
    except OSError as error:
        raise _no_room(error) from None
    try:
        yield form
    finally:
        await form.close()


@asynccontextmanager
async def read_body(request: Request, settings: Settings) -> AsyncIterator[BinaryIO]:
    """Read a body that is a file itself; leaving the `async with` block removes it. Errors as for `read_form`."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > settings.max_upload_bytes:
        raise too_large(settings)
    with SpooledTemporaryFile(_SPOOLED_BYTES) as file:
        try:
            async with asyncio.timeout(settings.max_upload_seconds):
                async for piece in _bounded(request, settings):
                    await asyncio.to_thread(file.write, piece)
        except TimeoutError:
            raise _too_slow(settings) from None
        except ClientDisconnect:
            raise client_left() from None
        except OSError as error:
            raise _no_room(error) from None
        file.seek(0)
        yield cast("BinaryIO", file)


async def _bounded(request: Request, settings: Settings) -> AsyncGenerator[bytes, None]:
    """Give the body as it arrives, as long as it is within the limits."""
    received = 0
    pieces = request.stream()
    while True:
        try:
            async with asyncio.timeout(settings.idle_seconds):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise ApiError(408, f"Nothing came for {settings.idle_seconds:g} s.", code="idle") from None
        if piece is None:
            return
        received += len(piece)
        if received > settings.max_upload_bytes:
            raise too_large(settings)
        yield piece


def too_large(settings: Settings) -> ApiError:
    """The request has more bytes than it may."""
    return ApiError(
        413,
        f"The request is larger than {settings.max_upload_bytes} bytes, the most that is accepted. Send a compressed "
        "file (such as Opus), or parts of it.",
        code="file_too_large",
        param="file",
    )


def _too_slow(settings: Settings) -> ApiError:
    seconds = settings.max_upload_seconds
    return ApiError(408, f"The request took longer than {seconds:g} s to arrive.", code="too_slow")


def _no_room(error: OSError) -> ApiError:
    logger.error("an upload cannot be kept: %s", error)
    return busy("The server has no room for the file. Try again later.", "no_room")


def client_left() -> ApiError:
    """Nobody will read the answer."""
    return ApiError(499, "The client left.", code="client_left")


async def gone(request: Request) -> None:
    """Wait until the client leaves; its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Do something, but give it up when the client leaves.

    Raises:
        ApiError: it left.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise client_left()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
