"""The public API as text: names, parameters with their kinds and defaults, and public members.

    python -m tests.packaging.public_api        records it in public_api.txt, after an intended change

Annotations are left out, because their text depends on the version of Python.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import legato
from legato.convert import convert
from legato.serve import Settings, create_app

RECORD = Path(__file__).with_name("public_api.txt")


def describe() -> str:
    """Return the public API, one line per callable, attribute or name."""
    lines = [line for name in legato.__all__ for line in _lines(f"legato.{name}", getattr(legato, name))]
    lines += _lines("legato.convert.convert", convert)
    lines += _lines("legato.serve.create_app", create_app)
    lines += _lines("legato.serve.Settings", Settings)
    return "\n".join(lines) + "\n"


def _lines(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield name + (_signature(value) if inspect.isroutine(value) else "")
        return
    exception = issubclass(value, BaseException)
    yield f"{name}({value.__bases__[0].__name__})" if exception else name + _signature(value)
    for member in sorted(set(dir(value)) - set(dir(Exception if exception else object))):
        attribute = inspect.getattr_static(value, member)
        if member.startswith("_"):
            continue
        if isinstance(attribute, classmethod | staticmethod):
            attribute = attribute.__func__
        yield f"{name}.{member}" + (_signature(attribute) if inspect.isfunction(attribute) else "")


def _signature(value: Any) -> str:
    signature = inspect.signature(value)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


if __name__ == "__main__":
    RECORD.write_text(describe(), encoding="utf-8")
