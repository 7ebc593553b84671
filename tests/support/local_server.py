"""A local HTTP server for tests that need one of their own."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class LocalServer:
    """Serves while its `with` block lasts; every request is answered by `handler`, which finds it as `serves`."""

    handler: type[BaseHTTPRequestHandler]

    def __enter__(self) -> Self:
        # A class of its own, as a handler is made anew for every connection.
        serving = type("Handler", (self.handler,), {"serves": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), serving)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class QuietHandler(BaseHTTPRequestHandler):
    """Answers HEAD and GET alike, with `answer`, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        raise NotImplementedError

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()
