"""A shutdown in good order: no new work is admitted, and running work is finished."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from legato.serve.errors import ShuttingDownError


class Drain:
    """Counts the running work, and ends the admission of more.

    Attributes:
        begun: whether the server is shutting down.
    """

    def __init__(self) -> None:
        self.begun = False
        self._running: dict[object, Callable[[], None] | None] = {}
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
