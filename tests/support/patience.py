"""Patient defaults: a busy machine is slow, and a time limit that is never reached costs nothing."""

import importlib
from importlib.util import find_spec

#: Seconds, in place of the 5 to 20 of the clients.
_SECONDS = 300
#: Where the defaults of a client are: module, class or function, arguments.
_DEFAULTS = (
    *(("httpx", name, ("timeout",)) for name in ("get", "post", "head", "request", "Client", "AsyncClient")),
    ("websockets.sync.client", "connect", ("open_timeout", "ping_timeout")),
    ("websockets.asyncio.client", "connect", ("open_timeout", "ping_timeout")),
)


def make_clients_patient() -> None:
    """Raise the time limits of clients that a test does not set itself."""
    for module, name, arguments in _DEFAULTS:
        if find_spec(module.partition(".")[0]) is None:
            continue
        found = getattr(importlib.import_module(module), name)
        function = vars(found)["__init__"] if isinstance(found, type) else found
        function.__kwdefaults__.update(dict.fromkeys(arguments, _SECONDS))
