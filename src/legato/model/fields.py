"""Files of JSON that anybody may have written: read with bounds, and checked field by field.

Nothing here knows what a file is for. Callers turn `FieldError` into the error of their kind of file.
"""

import errno
import json
import math
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from legato.errors import LegatoError
from legato.files import read_regular

_D = TypeVar("_D")
_FEW = 60


class FieldError(LegatoError):
    """Contents of a file that are not as expected. The message says where, what was expected, and what was found."""


class BrokenFileError(FieldError):
    """A file that cannot be read, or is not JSON: it was damaged on its way."""


class _Required:
    """Stands for the default of a field that must be there."""


REQUIRED = _Required()


def read_json(path: Path, most: int) -> Any:
    """Read a file of JSON in UTF-8, with or without a byte order mark.

    Args:
        path: a regular file, or a link to one.
        most: bytes that the file may have.

    Raises:
        FileNotFoundError: there is no such file.
        BrokenFileError: it cannot be read, is not JSON, or has numbers that are not finite.
        FieldError: it is larger, or nested too deeply.
    """
    try:
        data = read_regular(path, most)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise FieldError(f"{path}: is larger than {most / 1e6:g} MB.") from None
        raise BrokenFileError(f"{path}: cannot be read: {error.strerror}.") from error
    return parse_json(data, str(path))


def parse_json(data: bytes, place: str) -> Any:
    """Parse JSON in UTF-8. Errors as for `read_json`; `place` names the source in them."""
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_number, parse_float=_finite)
    except RecursionError:
        raise FieldError(f"{place}: is nested too deeply.") from None
    except ValueError as error:
        raise BrokenFileError(f"{place}: is not JSON: {_short(str(error))}.") from None


def found(value: object) -> str:
    """Return a value as a short text for a message."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return _short(repr(value))
        case str():
            return f"the text {_short(ascii(value))}"
        case list() | tuple():
            return f"a list of {len(value)}"
        case dict():
            return f"an object of {len(value)}"
    return f"a value of type {type(value).__name__}"


def is_clean(text: str) -> bool:
    """Return whether a text has no control characters and no halves of surrogate pairs."""
    return text.isprintable() or not any(unicodedata.category(c) in {"Cc", "Cs"} for c in text)


def printable(text: str) -> str:
    """Return a text for a message, with U+FFFD for what cannot be shown."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


class Fields:
    """The fields of a JSON object, or of another mapping with texts as keys.

    A field whose value is null counts as missing. Every method raises FieldError if a field is missing and has no
    default, or has another value than it describes.

    Args:
        place: where it is, for messages.
    """

    def __init__(self, values: object, place: str) -> None:
        if not isinstance(values, dict):
            raise FieldError(f"{place}: expected an object with fields, found {found(values)}.")
        self.place = place
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def items(self, most: int) -> Iterator[tuple[str, object]]:
        """Yield all fields, `most` at the most. Their names are texts of at most 200 characters."""
        if len(self._values) > most:
            raise FieldError(f"{self.place}: expected at most {most} entries, found {len(self._values)}.")
        for name, value in self._values.items():
            if not isinstance(name, str) or len(name) > 200 or not is_clean(name):
                raise FieldError(f"{self.place}: expected names of at most 200 characters, found {found(name)}.")
            yield name, value

    def integer(self, name: str, low: int, high: int, default: _D | _Required = REQUIRED) -> int | _D:
        """Return a whole number from `low` to `high`."""
        if name not in self:
            return self._default(name, default)
        return self.whole(name, self._values[name], low, high)

    def number(self, name: str, low: float, high: float, default: _D | _Required = REQUIRED) -> float | _D:
        """Return a number from `low` to `high`."""
        if name not in self:
            return self._default(name, default)
        value = self._values[name]
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        raise self._wrong(name, f"a number from {low:g} to {high:g}", value)

    def text(self, name: str, most: int, default: _D | _Required = REQUIRED) -> str | _D:
        """Return a text of at most `most` characters without control characters."""
        if name not in self:
            return self._default(name, default)
        value = self._values[name]
        if isinstance(value, str) and len(value) <= most and is_clean(value):
            return value
        raise self._wrong(name, f"a text of at most {most} characters", value)

    def flag(self, name: str, default: _D | _Required = REQUIRED) -> bool | _D:
        """Return true or false."""
        if name not in self:
            return self._default(name, default)
        value = self._values[name]
        if isinstance(value, bool):
            return value
        raise self._wrong(name, "true or false", value)

    def integers(self, name: str, low: int, high: int, most: int, default: _D | _Required = REQUIRED) -> list[int] | _D:
        """Return a list of 1 to `most` whole numbers from `low` to `high`."""
        if name not in self:
            return self._default(name, default)
        value = self._values[name]
        if isinstance(value, list) and 1 <= len(value) <= most:
            return [self.whole(name, item, low, high) for item in value]
        raise self._wrong(name, f"a list of 1 to {most} numbers", value)

    def numbers(self, name: str, low: float, high: float, most: int) -> list[float]:
        """Return a list of 1 to `most` numbers from `low` to `high`."""
        value = self._values.get(name)
        if isinstance(value, list) and 1 <= len(value) <= most:
            each = Fields({str(number): item for number, item in enumerate(value)}, f"{self.place}: {name}")
            return [each.number(str(number), low, high) for number in range(len(value))]
        raise self._wrong(name, f"a list of 1 to {most} numbers", value)

    def section(self, name: str) -> "Fields":
        """Return the fields of an object; a missing one has none."""
        value = self._values.get(name)
        return Fields({} if value is None else value, f"{self.place}: {name}")

    def whole(self, name: str, value: object, low: int, high: int) -> int:
        """Return a value as a whole number from `low` to `high`; `name` is for messages."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise self._wrong(name, f"a whole number from {low} to {high}", value)

    def _default(self, name: str, default: _D | _Required) -> _D:
        if isinstance(default, _Required):
            raise FieldError(f"{self.place}: {name} is missing.")
        return default

    def _wrong(self, name: str, expected: str, value: object) -> FieldError:
        return FieldError(f"{self.place}: {name}: expected {expected}, found {found(value)}.")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text)


def _refuse_number(text: str) -> float:
    raise ValueError(f"the number {_short(text)} is not finite")


def _short(text: str) -> str:
    return text if len(text) <= _FEW else f"{text[:_FEW]}..."
