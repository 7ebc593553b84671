"""A shutdown in good order: no new work is admitted, and running work is finished."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from legato.serve.errors import ShuttingDownError


class Drain:
    """Counts the running work, and ends the admission of more.

    Attributes:
        begun: whether the server is shutting down.
    """

    def __init__(self) -> None:
        self.begun = False
        self._running: dict[object, Callable[[], None] | None] = {}
        self._files: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()

    @contextmanager
    def work(self, on_begin: Callable[[], None] | None = None) -> Iterator[None]:
        """Count the block as running work.

        Args:
            on_begin: called when draining begins, for work that does not end by itself.

        Raises:
            ShuttingDownError: draining has begun.
        """
        if self.begun:
            raise ShuttingDownError
        key = object()
        self._running[key] = on_begin
        try:
            yield
        finally:
            del self._running[key]
            if not self._running:
                self._idle.set()

    @asynccontextmanager
    async def until_abandoned(self) -> AsyncIterator[None]:
        """Run the block until the time of the shutdown is over. Its client is then asked to try again.

        Raises:
            ShuttingDownError: the time was over before the block ended.
        """
        timeout = asyncio.timeout(None)
        self._files.add(timeout)
        try:
            async with timeout:
                yield
        except TimeoutError:
            if timeout.expired():
                raise ShuttingDownError from None
            raise
        finally:
            self._files.discard(timeout)

    def abandon(self) -> None:
        """End all blocks of `until_abandoned`."""
        for timeout in list(self._files):
            timeout.reschedule(asyncio.get_running_loop().time())

    async def finish(self, seconds: float) -> bool:
        """Begin draining, and wait at most `seconds` for the running work; return whether all of it has finished."""
        self.begun = True
        for on_begin in list(self._running.values()):
            if on_begin is not None:
                on_begin()
        self._idle.clear()
        if self._running:
            try:
                async with asyncio.timeout(seconds):
                    await self._idle.wait()
            except TimeoutError:
                return False
        return True
