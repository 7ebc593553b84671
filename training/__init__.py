"""Training of the two small models: `training.small` and `training.numbers`. Not part of the package."""

import sys
from types import TracebackType


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell which requirements to install instead of printing a traceback."""
    if not isinstance(error, ModuleNotFoundError):
        sys.__excepthook__(kind, error, trace)
        return
    print(
        f"The package {error.name!r} is missing. Install the requirements: pip install -e '.[convert,evaluate]' "
        "-r training/small/requirements.txt (or training/numbers/requirements.txt).",
        file=sys.stderr,
    )


if sys.argv[0] == "-m":  # run as a program: python -m training.small.train
    sys.excepthook = _explain
