"""The parent of a server's processes."""

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from legato.errors import LegatoError
from legato.serve.logs import log_event, logger
from legato.serve.metrics import FOLDER_VARIABLE
from legato.serve.processes.job import HTTP, READY, WYOMING, Job
from legato.serve.server import BACKLOG, raise_file_limit
from legato.serve.settings import Settings

#: A process whose event loop has not run for this long receives no connections as long as another one does.
_STUCK_SECONDS = 1.0
_MARGIN_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_ACCEPTED_AT_ONCE = 100


def run_processes(
    model: Path,
    threads: int,
    settings: Settings,
    processes: int,
    sockets: tuple[socket.socket, socket.socket | None],
    ready: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the running work. A second signal ends the server immediately.

    Args:
        model: folder of the model.
        threads: threads of each process.
        settings: the settings of the server; the limits hold for all processes together.
        processes: their number.
        sockets: bound, for HTTP and for Wyoming.
        ready: called once requests are answered.

    Raises:
        LegatoError: a process does not start; on a system that cannot hand connections to other processes.
    """
    if not hasattr(socket, "send_fds"):
        raise LegatoError("Several processes cannot share connections on this system. Use --workers 1.")
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="legato-serve-", ignore_cleanup_errors=True) as folder:
        job = Job.create(model, threads, settings, processes, Path(folder))
        asyncio.run(Supervisor(job, sockets, ready).run())


class _Child:
    """A process as its parent knows it."""

    def __init__(self, row: int, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self.row = row
        self.process = process
        self.channel = channel
        self.sent = 0
        self.ready = False


class Supervisor:
    """Starts the processes, gives them connections, replaces those that die, and ends all of them.

    Args:
        job: the server.
        sockets: see `run_processes`.
        ready: see `run_processes`.
    """

    def __init__(
        self, job: Job, sockets: tuple[socket.socket, socket.socket | None], ready: Callable[[], None]
    ) -> None:
        self._job = job
        self._listeners = [
            (each, kind) for each, kind in zip(sockets, (HTTP, WYOMING), strict=True) if each is not None
        ]
        self._ready = ready
        self._tally = job.tally(0)
        self._children: dict[int, _Child] = {}
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Run the server to its end."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end)
        keeping: list[asyncio.Task[None]] = []
        try:
            first = [await self._start(row) for row in range(self._job.processes)]
            await asyncio.gather(*(self._until_ready(child) for child in first))
            keeping = [asyncio.create_task(self._keep(child)) for child in first]
            if not self._ending.is_set():
                self._listen()
                self._ready()
            await self._ending.wait()
            await self._wait_for_all()
        finally:
            for task in keeping:
                task.cancel()
            for child in self._children.values():
                with contextlib.suppress(ProcessLookupError):
                    child.process.kill()
                await child.process.wait()

    async def _start(self, row: int) -> _Child:
        """Start a process."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "legato.serve.processes.child", str(row), str(theirs.fileno())),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, FOLDER_VARIABLE: str(self._job.metrics)},
            start_new_session=True,  # Ctrl-C in a terminal reaches the parent only
        )
        theirs.close()
        child = self._children[row] = _Child(row, process, ours)
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(self._job))
        process.stdin.close()
        return child

    async def _until_ready(self, child: _Child) -> None:
        """Wait until a process answers.

        Raises:
            LegatoError: it ended instead, although nobody asked for that.
        """
        said = b""
        with contextlib.suppress(OSError):
            said = await self._loop.sock_recv(child.channel, 4096)
        child.ready = said == READY
        if not child.ready and not self._ending.is_set():
            await child.process.wait()
            raise LegatoError(said.decode(errors="replace") or "A process of the server did not start; see above.")

    async def _keep(self, child: _Child) -> None:
        """Replace a process whenever it dies."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            status = await child.process.wait()
            child.ready = False
            child.channel.close()
            self._forget(child)
            if self._ending.is_set():
                return
            logger.error("A process of the server ended with the status %d. It is started again.", status)
            pause = _FIRST_PAUSE if time.monotonic() - began > 2 * _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(pause)
            child = await self._start(child.row)
            if self._ending.is_set():
                child.process.terminate()
            try:
                await self._until_ready(child)
            except LegatoError as error:
                logger.error("A process of the server does not start: %s", error)

    def _forget(self, child: _Child) -> None:
        """Remove a dead process from what is counted; what it has counted up stays."""
        self._tally.clear(child.row)
        for file in self._job.metrics.glob(f"gauge_live*_{child.process.pid}.db"):
            file.unlink(missing_ok=True)

    def _listen(self) -> None:
        for listener, kind in self._listeners:
            listener.setblocking(False)
            listener.listen(BACKLOG)
            self._loop.add_reader(listener, self._accept, listener, kind)

    def _accept(self, listener: socket.socket, kind: bytes) -> None:
        """Hand the connections that wait to the processes."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptors are left
                logger.error("A connection cannot be accepted: %s", error)
                self._loop.remove_reader(listener)
                self._loop.call_later(1.0, self._accept_again, listener, kind)
                return
            with connection:
                self._hand_over(connection, kind)

    def _accept_again(self, listener: socket.socket, kind: bytes) -> None:
        if not self._ending.is_set():
            self._loop.add_reader(listener, self._accept, listener, kind)

    def _hand_over(self, connection: socket.socket, kind: bytes) -> None:
        """Send a connection to the process with the fewest; without any it is closed."""
        if sys.platform == "win32":  # `run_processes` refuses it
            return
        for child in sorted((each for each in self._children.values() if each.ready), key=self._load):
            try:
                socket.send_fds(child.channel, [kind], [connection.fileno()])
            except OSError:  # it is dead, or takes nothing
                continue
            child.sent += 1
            return

    def _load(self, child: _Child) -> tuple[bool, float]:
        """Return what orders the processes: those that are stuck come last, and those with more connections later."""
        tally, row = self._tally, child.row
        stuck = time.monotonic() - tally.get("beat", row) > _STUCK_SECONDS
        return stuck, tally.get("connections", row) + child.sent - tally.get("taken", row)

    def _end(self) -> None:
        """Handle a signal: accept nothing more, and let the processes finish their work, or end them at the second."""
        if not self._ending.is_set():
            self._ending.set()
            log_event("ending", processes=len(self._children))
            for listener, _ in self._listeners:
                self._loop.remove_reader(listener)
                listener.close()
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGTERM)

    async def _wait_for_all(self) -> None:
        seconds = self._job.settings.grace_seconds + _MARGIN_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(child.process.wait() for child in self._children.values()))
