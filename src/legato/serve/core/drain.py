"""Ending in good order: nothing new is admitted, and what runs is finished."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from legato.serve.errors import shutting_down


class Drain:
    """Knows the work that is running, and when there may be no more.

    Attributes:
        begun: the server is ending.
    """

    def __init__(self) -> None:
        self.begun = False
        self._running: dict[object, Callable[[], None] | None] = {}
        self._idle = asyncio.Event()

    @contextmanager
    def work(self, on_begin: Callable[[], None] | None = None) -> Iterator[None]:
        """Count what happens inside as running work.

        Args:
            on_begin: is called when draining begins: work that does not end by itself, ends.

        Raises:
            ApiError: draining has begun.
        """
        if self.begun:
            raise shutting_down()
        mark = object()
        self._running[mark] = on_begin
        try:
            yield
        finally:
            del self._running[mark]
            if not self._running:
                self._idle.set()

    async def finish(self, seconds: float) -> bool:
        """Begin, and wait until nothing runs any more, at most so long; tells whether nothing does."""
        self.begun = True
        for tell in list(self._running.values()):
            if tell is not None:
                tell()
        self._idle.clear()
        if self._running:
            try:
                async with asyncio.timeout(seconds):
                    await self._idle.wait()
            except TimeoutError:
                return False
        return True
