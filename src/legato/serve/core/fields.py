"""Checks of the fields that clients send, in messages and queries. All raise `InvalidValueError` for the field."""

import base64
import math
from collections.abc import Mapping

from legato.serve.errors import InvalidValueError

_URL_SAFE = str.maketrans("-_", "+/")


def as_mapping(value: object, param: str) -> Mapping[str, object]:
    """Return a field that must be a JSON object."""
    if not isinstance(value, dict):
        raise InvalidValueError(param, "It must be an object.")
    return value


def as_text(value: object, param: str) -> str:
    """Return a field that must be a text."""
    if not isinstance(value, str):
        raise InvalidValueError(param, "It must be a text.")
    return value


def as_texts(value: object, param: str) -> list[str]:
    """Return a field that must be a list of texts."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InvalidValueError(param, "It must be a list of texts.")
    return value


def as_number(value: object, least: float, most: float, param: str) -> float:
    """Return a field that must be a number within a range."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidValueError(param, f"It must be a number from {least:g} to {most:g}.")
    return value


def as_base64(value: object, param: str) -> bytes:
    """Return the bytes of a field in base64: also URL-safe, without padding, or with line breaks."""
    text = "".join(as_text(value, param).split()).rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise InvalidValueError(param, "It is not base64.") from None


def parse_number(text: str, least: float, most: float, param: str) -> float:
    """Return the number within a range that a text must be."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return as_number(value, least, most, param)


def parse_flag(text: str, param: str) -> bool:
    """Return the flag that a text must be: `true`, `1`, `false`, `0` or empty, in any case."""
    value = text.lower()
    if value not in {"", "true", "false", "1", "0"}:
        raise InvalidValueError(param, "It must be true or false.")
    return value in {"true", "1"}
