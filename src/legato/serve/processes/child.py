"""One process of a server: `python -m legato.serve.processes.child ROW DESCRIPTOR`, with its job on standard input."""

import asyncio
import pickle
import shutil
import signal
import socket
import ssl
import sys
import time

from fastapi import FastAPI

from legato.errors import LegatoError
from legato.recognizer import load
from legato.serve.app import create_shared_app
from legato.serve.logs import configure_logs
from legato.serve.processes.job import HTTP, READY, Job
from legato.serve.server import DrainingServer, raise_file_limit, uvicorn_config
from legato.serve.tally import Tally

_BEAT_SECONDS = 0.1


class AdoptingServer(DrainingServer):
    """Serves the connections that the parent sends, instead of those of a listening socket.

    Args:
        app: the application.
        job: the server.
        tally: its numbers.
        channel: the socket to the parent. When it closes, the parent is gone, and the process ends in good order.
    """

    def __init__(self, app: FastAPI, job: Job, tally: Tally, channel: socket.socket) -> None:
        super().__init__(uvicorn_config(app, job.settings), app.state.service, lambda: None)
        self.orphaned = False
        self._app = app
        self._tally = tally
        self._channel = channel
        self._arriving: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, and tell the parent."""
        await super().startup([])
        if self.started:
            self._channel.setblocking(False)
            self._loop.add_reader(self._channel, self._adopt)
            self._beating = self._loop.create_task(self._beat())
            self._channel.send(READY)

    def _adopt(self) -> None:
        """Take all connections that the parent has sent."""
        if sys.platform == "win32":  # the parent does not run there
            return
        while True:
            try:
                kind, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                kind, descriptors = b"", []
            if not kind:
                self._loop.remove_reader(self._channel)
                self.orphaned = True
                self.handle_exit(signal.SIGTERM, None)
                return
            self._tally.set("taken", self._tally.get("taken") + 1)
            for descriptor in descriptors:
                task = self._loop.create_task(self._connect(kind, socket.socket(fileno=descriptor)))
                self._arriving.add(task)
                task.add_done_callback(self._arriving.discard)
            self._count()

    async def _connect(self, kind: bytes, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            if kind == HTTP:
                config = self.config
                await self._loop.connect_accepted_socket(
                    lambda: config.http_protocol_class(  # type: ignore[call-arg]
                        config=config, server_state=self.server_state, app_state=self.lifespan.state, _loop=self._loop
                    ),
                    connection,
                    ssl=config.ssl,
                )
            else:
                await self._app.state.wyoming(connection)
        except (OSError, ssl.SSLError):  # the client left during its handshake
            connection.close()

    async def _beat(self) -> None:
        """Tell the parent and the other processes how this one fares."""
        while True:
            self._count()
            self._service.metrics.publish()
            await asyncio.sleep(_BEAT_SECONDS)

    def _count(self) -> None:
        self._tally.set("connections", len(self.server_state.connections) + len(self._arriving))
        self._tally.set("beat", time.monotonic())


def main() -> int:
    """Run the process; return its exit status."""
    row, channel = int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
    job: Job = pickle.load(sys.stdin.buffer)  # from the parent
    configure_logs()
    raise_file_limit()
    try:
        recognizer = load(job.model, threads=job.threads)
        with recognizer.stream(job.settings.defaults):
            pass
    except LegatoError as error:
        channel.send(str(error).encode())
        return 2
    shared = job.shared(row)
    server = AdoptingServer(create_shared_app(recognizer, job.settings, None, shared), job, shared.tally, channel)
    server.run([])
    if server.orphaned:
        shutil.rmtree(job.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
