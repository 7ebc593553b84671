"""What `legato serve` runs: the server in this process, or its replicas on Ray."""

import os
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from legato.cli.model import say_default
from legato.errors import LegatoError
from legato.model.registry import ResolvedModel
from legato.recognizer import Recognizer, load
from legato.runtime.cores import available_cores, default_threads
from legato.serve.app import create_app
from legato.serve.logs import configure_logs
from legato.serve.processes.supervisor import run_processes
from legato.serve.server import address_of, listen, listen_wyoming, run
from legato.serve.settings import Settings


def shares(workers: str, threads: int | None, model: Path) -> tuple[int, int | None]:
    """Return the number of processes and the threads of each.

    A process takes the threads that its model profits from. A small model takes as long as Python does around it, and
    Python runs on one core per process.

    Args:
        workers: what the user asked for, a number or `auto`.
        threads: the threads that the user asked for; None for the default.

    Raises:
        LegatoError: `workers` is neither.
    """
    cores = available_cores()
    if workers == "auto":
        threads = threads or default_threads(model)
        return max(1, cores // threads), threads
    if not workers.isdecimal() or int(workers) < 1:
        raise LegatoError(f"--workers is {workers!r}. Use a number from 1, or auto.")
    number = int(workers)
    return number, threads if number == 1 else threads or max(1, cores // number)


def serve_here(
    model: ResolvedModel, settings: Settings, threads: int | None, processes: int = 1, *, named: bool
) -> None:
    """Serve on this machine until SIGTERM or Ctrl-C.

    Args:
        settings: settings of the server.
        threads: threads of the model per process; None for the default.
        named: the user named the model.

    Raises:
        LegatoError: the address is not available, or the model does not support the settings.
    """
    listener, wyoming = listen(settings), listen_wyoming(settings)
    addresses = [address_of(listener, settings.scheme)] + ([address_of(wyoming, "tcp")] if wyoming else [])
    if processes > 1:
        if not named:
            say_default(model)
        configure_logs()
        sockets = (listener, wyoming)
        run_processes(model.path, threads or 1, settings, processes, sockets, lambda: _announce(*addresses))
        return
    recognizer = _load(model, settings, threads, named=named)
    configure_logs()
    run(create_app(recognizer, settings, wyoming), listener, settings, lambda: _announce(*addresses))


def serve_on_ray(model: ResolvedModel, settings: Settings, threads: int | None, *, named: bool) -> None:
    """Serve on a Ray cluster until SIGTERM or Ctrl-C; arguments and errors as for `serve_here`."""
    listener = listen(settings)
    _load(model, settings, threads, named=named)  # only a check: each replica loads its own
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # Ray reads it on import; JSON lines must not be summed up
    from legato.contrib.ray import serve

    address = address_of(listener)
    settings = replace(settings, port=listener.getsockname()[1])
    listener.close()  # the proxies of Ray listen themselves
    output = sys.stdout
    with redirect_stdout(sys.stderr):  # Ray prints there what its other processes say
        serve.serve_on_ray(model.path, settings, threads, lambda: _announce(address, file=output))


def read_keys(file: Path | None) -> tuple[str, ...]:
    """Return the API keys of the file and of the environment.

    Raises:
        LegatoError: the file cannot be read, or holds no key.
    """
    keys = [key.strip() for key in os.environ.get("LEGATO_API_KEYS", "").split(",")]
    if file is not None:
        try:
            lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise LegatoError(f"{file}: the API keys cannot be read: {error}.") from None
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise LegatoError(f"{file}: no API key in it. Write one per line.")
        keys += found
    return tuple(dict.fromkeys(key for key in keys if key))


def _load(model: ResolvedModel, settings: Settings, threads: int | None, *, named: bool) -> Recognizer:
    """Load the model and check that it supports the settings."""
    recognizer = load(model.path, threads=threads)
    with recognizer.stream(settings.defaults):
        pass
    if not named:
        say_default(model)
    return recognizer


def _announce(*addresses: str, file: TextIO | None = None) -> None:
    print(f"Legato serves {' and '.join(addresses)}", file=file, flush=True)
