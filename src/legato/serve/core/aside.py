"""Long computations for clients, aside from the server: in a process of low priority with bounded time and memory.

In a thread they would take turns with the event loop and the engine, because Python runs one thread at a time.
"""

import asyncio
import contextlib
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from legato.serve.errors import ServerBusyError, TooLongError

#: Processor time of a computation, and the time until it is given up where the processor has other things to do.
_CPU_SECONDS, _SECONDS = 10.0, 60.0
_MOST_WAITING = 16
_MEMORY_BYTES = 2 << 30
_LENGTH_BYTES = 8
_PROGRAM = "from legato.serve.core.aside import serve; serve()"

Result = TypeVar("Result")


class Aside:
    """Runs functions in a process that is started when it is first needed, one at a time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._waiting = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Return what a function of a module returns; errors are those of the function.

        Raises:
            ServerBusyError: too many computations wait.
            TooLongError: the function needed more than 10 s of processor time, or too much memory.
        """
        if self._loop is not asyncio.get_running_loop():  # the first one, or that of another application
            self._process = None
            self._loop, self._turn, self._waiting = asyncio.get_running_loop(), asyncio.Lock(), 0
        if self._waiting >= _MOST_WAITING:
            raise ServerBusyError(f"{_MOST_WAITING} long computations wait already. Try again later.")
        self._waiting += 1
        try:
            async with self._turn:
                return cast("Result", await self._exchange(pickle.dumps((function, arguments))))
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """End the process, if it was started in the running loop."""
        process, self._process = self._process, None
        if process is not None and self._loop is asyncio.get_running_loop():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _exchange(self, request: bytes) -> object:
        process = await self._started()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(len(request).to_bytes(_LENGTH_BYTES) + request)
            async with asyncio.timeout(_SECONDS):
                await process.stdin.drain()
                size = int.from_bytes(await process.stdout.readexactly(_LENGTH_BYTES))
                result, error = pickle.loads(await process.stdout.readexactly(size))
        except BaseException as error:
            await self.close()  # it would answer the next request with the result of this one
            if isinstance(error, TimeoutError | asyncio.IncompleteReadError | OSError):
                raise TooLongError(_CPU_SECONDS) from error
            raise
        if error is not None:
            raise error
        return cast("object", result)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _PROGRAM),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in a terminal reaches the server only
            )
            assert self._process.stdout is not None
            ready = await self._process.stdout.readexactly(1)
            assert ready
        return self._process


#: The long computations of this process's clients.
ASIDE = Aside()


def serve() -> None:
    """Answer requests on standard input until it ends."""
    _limit()
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout = sys.stderr
    sink.write(b"r")
    sink.flush()
    while head := source.read(_LENGTH_BYTES):
        function, arguments = pickle.loads(source.read(int.from_bytes(head)))
        answer = pickle.dumps(_outcome(function, arguments))
        sink.write(len(answer).to_bytes(_LENGTH_BYTES) + answer)
        sink.flush()


def _outcome(function: Callable[..., Any], arguments: tuple[object, ...]) -> tuple[Any, Exception | None]:
    try:
        with _limited_time():
            return function(*arguments), None
    except (MemoryError, TimeoutError):
        return None, TooLongError(_CPU_SECONDS)
    except Exception as error:
        return None, error


@contextlib.contextmanager
def _limited_time() -> Iterator[None]:
    """Raise TimeoutError in the block after too much processor time."""

    def end(*_: object) -> None:
        raise TimeoutError

    if sys.platform == "win32":
        yield
        return
    signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _limit() -> None:
    """Let the server go first, and bound the memory."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    os.nice(10)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
