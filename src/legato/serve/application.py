"""The former name of `legato.serve.app`."""

import warnings

from legato.serve.app import create_app

__all__ = ["create_app"]

warnings.warn(
    "legato.serve.application is now legato.serve.app: import create_app from legato.serve.",
    DeprecationWarning,
    stacklevel=2,
)
