"""Ray, which spreads work over machines: joining a cluster, or starting one here. Needs the extra `ray`."""

import logging
import os
from typing import Any

import ray

from legato.errors import LegatoError


def start_ray(*, quiet: bool) -> bool:
    """Join the cluster that `RAY_ADDRESS` names, or start Ray on this machine alone; without reports to its makers.

    Args:
        quiet: leave what workers print to Ray's log files.

    Returns:
        Whether it was started here.

    Raises:
        LegatoError: it could not be joined or started.
    """
    logging.getLogger("ray").setLevel(logging.WARNING)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ours = not os.environ.get("RAY_ADDRESS")
    local: dict[str, Any] = {"address": "local", "include_dashboard": False} if ours else {}
    try:
        ray.init(log_to_driver=not quiet, logging_level=logging.ERROR, **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LegatoError(f"Ray could not be {'started' if ours else 'joined'}: {error}") from error
    return ours
