"""HTTP connections that must say what they want: one without a whole request head for long is closed."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def impatient(seconds: float) -> type[asyncio.Protocol]:
    """Make a protocol for uvicorn that closes connections whose first request does not come in so many seconds."""

    class Impatient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(seconds, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer is not None:
                self._timer.cancel()
            super().connection_lost(exc)

        def _give_up(self) -> None:
            # A WebSocket has taken the transport over; a request that came has a cycle.
            if self.cycle is None and self.transport.get_protocol() is self:
                self.transport.close()

    return Impatient
