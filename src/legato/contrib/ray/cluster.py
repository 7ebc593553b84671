"""Ray, which distributes work over machines: joins a cluster, or starts Ray on this machine. Needs the extra `ray`."""

import logging
import os
from typing import Any

import ray

from legato.errors import LegatoError


def start_ray(*, quiet: bool, variables: dict[str, str] | None = None) -> bool:
    """Join the cluster at `RAY_ADDRESS`, or start Ray on this machine alone. Usage reports to Ray's makers are off.

    Args:
        quiet: keep the output of workers in the log files of Ray.
        variables: environment variables of all processes that this program starts in the cluster.

    Returns:
        Whether Ray was started here.

    Raises:
        LegatoError: Ray could not be joined or started.
    """
    logging.getLogger("ray").setLevel(logging.WARNING)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    started = not os.environ.get("RAY_ADDRESS")
    local: dict[str, Any] = {"address": "local", "include_dashboard": False} if started else {}
    if variables:
        local["runtime_env"] = {"env_vars": variables}
    try:
        ray.init(log_to_driver=not quiet, logging_level=logging.ERROR, **local)
    except Exception as error:  # Ray raises bare ones, too
        raise LegatoError(f"Ray could not be {'started' if started else 'joined'}: {error}") from error
    return started
