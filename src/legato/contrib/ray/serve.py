"""The same application on Ray Serve: a replica of it on every machine of a cluster, behind a proxy on each.

A WebSocket is one request to Ray, so it stays with the replica that got it. Needs the extra `ray`.
"""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve

from legato.contrib.ray.cluster import start_ray
from legato.errors import LegatoError
from legato.serve.settings import Settings

_NAME = "legato"
# Ours are the limits that tell a client why it is refused. Ray's would let it wait.
_REQUESTS = 10_000
_PROXY_SECONDS = 60.0
_LOGS = {"log_level": "WARNING", "enable_access_log": False}


def serve_on_ray(model: Path, settings: Settings, threads: int | None, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs.

    Args:
        model: folder of the model, on every machine at the same place.
        settings: of each replica; the limits hold for each, and host and port are those of every machine's proxy.
        threads: of each replica; None takes the cores of its machine.
        ready: is called when requests are answered.

    Raises:
        LegatoError: Ray could not be joined or started, or the replicas do not come up.
    """
    ours = start_ray(quiet=False)
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # after Ray has set its own
        signal.signal(number, lambda *_: asked.set())
    try:
        serve.start(
            proxy_location="EveryNode",
            http_options={"host": settings.host, "port": settings.port},
            logging_config=_LOGS,
        )
        try:
            handle = serve.run(_application(model, settings, threads), name=_NAME, route_prefix="/")
        except RuntimeError as error:
            raise LegatoError(f"The replicas on Ray could not be started: {error}") from error
        _wait_for_proxies(asked)
        ready()
        asked.wait()
        handle.broadcast("drain").results(timeout_s=settings.grace_seconds + 5)
    finally:
        serve.shutdown() if ours else serve.delete(_NAME)
        ray.shutdown()


def _wait_for_proxies(asked: threading.Event) -> None:
    """Wait until the proxies of all machines answer: Ray waits for the first, and others refuse what comes early.

    Args:
        asked: to end; then it does not wait either.

    Raises:
        LegatoError: it takes too long.
    """
    until = time.monotonic() + _PROXY_SECONDS
    machines = len(_machines())
    while not asked.wait(0.1):
        states = [str(getattr(state, "value", state)) for state in serve.status().proxies.values()]
        if states.count("HEALTHY") >= machines:
            return
        if time.monotonic() > until:
            raise LegatoError(f"Of {machines} proxies {states.count('HEALTHY')} came up in {_PROXY_SECONDS:g} s.")


def _machines() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def _application(model: Path, settings: Settings, threads: int | None) -> serve.Application:
    """Describe what runs on the cluster: this is carried to its machines, where `build` makes the application."""

    def build() -> FastAPI:
        from legato.recognizer import load
        from legato.serve.app import create_app
        from legato.serve.logs import configure_logs

        configure_logs()
        return create_app(load(model, threads=threads), settings)

    class Replica:
        app: FastAPI

        async def drain(self) -> bool:
            """End all streams in good order."""
            finished: bool = await self.app.state.service.drain.finish(settings.grace_seconds)
            return finished

    deployment = serve.deployment(
        name=_NAME,
        num_replicas=max(1, len(_machines())),
        max_replicas_per_node=1,
        max_ongoing_requests=_REQUESTS,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=settings.grace_seconds + 5,
        ray_actor_options={"num_cpus": 1},
        logging_config=_LOGS,
    )(serve.ingress(build)(Replica))
    application: serve.Application = deployment.bind()
    return application
