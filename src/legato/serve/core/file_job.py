"""A file whose events are sent while it is recognized."""

import asyncio
from collections.abc import AsyncIterator
from typing import BinaryIO

from legato.serve.core.files import FileResult, Files
from legato.serve.core.options import Prepared
from legato.serve.errors import as_api_error, logger
from legato.types import Event


class FileJob:
    """Recognizes a file in a task of its own. Iterate over its events, then await `result`."""

    def __init__(self, files: Files, file: BinaryIO, prepared: Prepared) -> None:
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._task = asyncio.ensure_future(files.recognize(file, prepared, self._events.put_nowait))
        self._task.add_done_callback(lambda _: self._events.put_nowait(None))
        self._first: Event | None = None

    async def begin(self) -> None:
        """Wait for the first event.

        A defect of the file is known by then, so it can still be answered with a status. Errors are those of
        `Files.recognize`.
        """
        try:
            self._first = await self._events.get()
            if self._first is None:
                self._task.result()
        except BaseException:
            self._task.cancel()
            raise

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield the events, after `begin`."""
        event = self._first
        while event is not None:
            yield event
            event = await self._events.get()

    async def result(self) -> FileResult:
        """Return the result.

        Raises:
            ApiError: the file failed, in the form for the client; an unexpected failure is logged.
        """
        try:
            return await self._task
        except Exception as error:
            refusal = as_api_error(error)
            if refusal.status >= 500:
                logger.error("a file failed: %s", error, exc_info=error)
            raise refusal from error

    def cancel(self) -> None:
        """Drop the file; without effect when it is done."""
        self._task.cancel()
