"""Reads and checks the text fields of a form, where lists may be given as `name[]` or `name`."""

import math

from starlette.datastructures import FormData

from legato.serve.errors import InvalidValueError


class FormFields:
    """The text fields of a form. Every method raises `InvalidValueError` for a value that the field cannot have."""

    def __init__(self, form: FormData) -> None:
        self._items = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]

    def text(self, name: str) -> str | None:
        """Return the last value of a field; None if it is missing or empty."""
        return next((value for key, value in reversed(self._items) if key == name and value.strip()), None)

    def texts(self, name: str) -> list[str]:
        """Return all values of a list that are not empty."""
        return [value for key, value in self._items if key in {name, f"{name}[]"} and value.strip()]

    def object(self, name: str) -> dict[str, str]:
        """Return the fields of an object that is given as `name[field]`."""
        start = f"{name}["
        return {key[len(start) : -1]: value for key, value in self._items if key.startswith(start) and key[-1] == "]"}

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        """Return one of several allowed values."""
        value = self.text(name) or default
        _check_choice(name, value, allowed)
        return value

    def choices(self, name: str, allowed: tuple[str, ...]) -> list[str]:
        """Return a list of allowed values."""
        values = self.texts(name)
        for value in values:
            _check_choice(f"{name}[]", value, allowed)
        return values

    def flag(self, name: str) -> bool:
        """Return a boolean; a missing one is false."""
        value = (self.text(name) or "false").strip().lower()
        if value not in {"true", "false", "1", "0"}:
            raise InvalidValueError(name, f"{value[:50]!r} is neither true nor false.")
        return value in {"true", "1"}

    def number(self, name: str, least: float, most: float) -> float | None:
        """Return a number within limits; None if it is missing."""
        value = self.text(name)
        return None if value is None else number(name, value, least, most)


def number(name: str, value: object, least: float, most: float) -> float:
    """Return a value as a number.

    Raises:
        InvalidValueError: it is not a number within the limits.
    """
    try:
        found = float(value)  # type: ignore[arg-type]  # raises for what is no number
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not least <= found <= most:
        limits = "" if math.isinf(most) else f" from {least:g} to {most:g}"
        raise InvalidValueError(name, f"{str(value)[:50]!r} is not a number{limits}.")
    return found


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidValueError(name, f"{value[:50]!r} is unknown: send one of {', '.join(allowed)}.")
