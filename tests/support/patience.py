"""Patient defaults: a busy machine is slow, and a time limit that is never reached costs nothing."""

import importlib
import warnings

#: Seconds, in place of the 5 to 20 of the clients.
_SECONDS = 300
_OF_SOCKETS = ("open_timeout", "ping_timeout")
#: Where the defaults of a client are: module, class or function, arguments.
_DEFAULTS = (
    *(("httpx", name, ("timeout",)) for name in ("get", "post", "head", "request", "Client", "AsyncClient")),
    ("websockets.sync.client", "connect", _OF_SOCKETS),
    ("websockets.asyncio.client", "connect", _OF_SOCKETS),
    ("websockets.legacy.client", "connect", _OF_SOCKETS),  # of Deepgram's client
)


def make_clients_patient() -> None:
    """Raise the time limits of clients that a test does not set itself."""
    for module, name, arguments in _DEFAULTS:
        try:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                found = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError:
            continue
        function = vars(found)["__init__"] if isinstance(found, type) else found
        function.__kwdefaults__.update(dict.fromkeys(arguments, _SECONDS))
