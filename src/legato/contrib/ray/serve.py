"""The server on Ray Serve: one replica of the application and one proxy on every machine of a cluster.

Ray treats a WebSocket as one request, so it stays with the replica that accepted it. Needs the extra `ray`.
"""

import contextlib
import logging
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
from legato.contrib.ray.proxy import NAME, PROXY_VARIABLES
from legato.errors import LegatoError
from legato.serve import Settings

logger = logging.getLogger("legato")

# The limits of the application tell a client why it is refused. The limit of Ray would make it wait.
_MAX_REQUESTS = 10_000
_PROXY_SECONDS = 180.0
_STOP_MARGIN_SECONDS = 5.0
_LOGS = {"log_level": "WARNING", "enable_access_log": False}


def serve_on_ray(model: Path, settings: Settings, threads: int | None, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish the running work.

    Args:
        model: folder of the model, under the same path on every machine.
        settings: the settings of each replica. The limits apply per replica; host and port are those of every proxy.
        threads: threads per replica; None takes the cores of its machine.
        ready: called once requests are answered.

    Raises:
        LegatoError: Ray could not be joined or started, or the replicas do not start.
    """
    started_here = start_ray(quiet=False, variables=PROXY_VARIABLES)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # after Ray has installed its own handlers
        signal.signal(number, lambda *_: stop.set())
    try:
        try:
            with contextlib.suppress(TimeoutError):  # of 60 s; on a slow machine `_wait_for_proxies` waits on
                serve.start(
                    proxy_location="EveryNode",
                    http_options={"host": settings.host, "port": settings.port},
                    logging_config=_LOGS,
                )
            handle = serve.run(_application(model, settings, threads), name=NAME, route_prefix="/")
        except (RuntimeError, ray.exceptions.RayError) as error:
            raise LegatoError(f"The proxies and replicas on Ray could not be started: {error}") from error
        _wait_for_proxies(stop)
        ready()
        stop.wait()
        try:
            handle.broadcast("drain").results(timeout_s=settings.grace_seconds + _STOP_MARGIN_SECONDS)
        except Exception as error:  # whatever Ray raises if no replica is left
            logger.warning("The replicas on Ray could not finish their work: %s", error)
    finally:
        serve.shutdown() if started_here else serve.delete(NAME)
        ray.shutdown()


def _wait_for_proxies(stop: threading.Event) -> None:
    """Wait until the proxies of all machines answer. Ray itself waits for the first only.

    Args:
        stop: ends the wait when it is set.

    Raises:
        LegatoError: a proxy did not start in time.
    """
    until = time.monotonic() + _PROXY_SECONDS
    machines = len(_machines())
    while not stop.wait(0.1):
        states = [str(getattr(state, "value", state)) for state in serve.status().proxies.values()]
        if states.count("HEALTHY") >= machines:
            return
        if time.monotonic() > until:
            raise LegatoError(
                f"{states.count('HEALTHY')} of {machines} proxies of Ray started within {_PROXY_SECONDS:g} s. Look at "
                "the logs of Ray Serve on the other machines."
            )


def _machines() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def _application(model: Path, settings: Settings, threads: int | None) -> serve.Application:
    """Describe the deployment. It is sent to the machines of the cluster, where `build` creates the application."""

    def build() -> FastAPI:
        from legato.recognizer import load
        from legato.serve import create_app
        from legato.serve.logs import configure_logs

        configure_logs()
        return create_app(load(model, threads=threads), settings)

    class Replica:
        app: FastAPI

        async def drain(self) -> bool:
            """Finish all running work; return whether that succeeded in time."""
            finished: bool = await self.app.state.service.drain.finish(settings.grace_seconds)
            return finished

    deployment = serve.deployment(
        name=NAME,
        num_replicas=max(1, len(_machines())),
        max_replicas_per_node=1,
        max_ongoing_requests=_MAX_REQUESTS,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=settings.grace_seconds + _STOP_MARGIN_SECONDS,
        ray_actor_options={"num_cpus": 1},
        logging_config=_LOGS,
    )(serve.ingress(build)(Replica))
    application: serve.Application = deployment.bind()
    return application
