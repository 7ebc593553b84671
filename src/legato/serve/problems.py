"""What is wrong with a value that pydantic refused, in words for users: its own are for programmers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError, ValidationError

_MOST_LETTERS = 50
_FLAG, _WHOLE, _NUMBER, _TEXT, _LIST, _OBJECT = (
    "true or false", "a whole number", "a number", "a text", "a list", "a JSON object",
)  # fmt: skip
#: Beginnings of pydantic's types of errors, and what a value must be instead; fields of their context are in braces.
_EXPECTED = {
    "must_be": "{expected}",
    "literal_error": "{expected}",
    "greater_than_equal": "a number of at least {ge:.12g}",
    "greater_than": "a number above {gt:.12g}",
    "less_than_equal": "a number of at most {le:.12g}",
    "less_than": "a number below {lt:.12g}",
    "finite_number": "a finite number",
    "string_too_short": "a text of {min_length} or more letters",
    "string_too_long": "a text of at most {max_length} letters",
    "bool": _FLAG,
    "int": _WHOLE,
    "float": _NUMBER,
    "string": _TEXT,
    "list": _LIST,
    "dict": _OBJECT,
    "model": _OBJECT,
}


def must_be(expected: str) -> WrapValidator:
    """Return a validator for an annotation whose own errors would not say what is allowed, such as a union.

    Args:
        expected: what the value must be.
    """

    def validate(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("must_be", "It must be {expected}.", {"expected": expected}) from None

    return WrapValidator(validate)


def problem_of(error: Mapping[str, Any], known: Sequence[str] = ()) -> str:
    """Return what is wrong and what is allowed, as sentences.

    Args:
        error: one of the errors that pydantic lists, with its input and its context.
        known: names of all fields, for an unknown one.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "It is missing."
    if kind == "json_invalid":
        return f"This is not JSON: {context.get('error', 'it cannot be read')}."
    if kind == "extra_forbidden":
        return " ".join(["This field is not known.", *([f"Send only {', '.join(known)}."] if known else [])])
    expected = next((text for name, text in _EXPECTED.items() if kind.startswith(name)), None)
    given = _shown(error.get("input"))
    if expected is None:
        return f"This value is not allowed{f': {given}' if given else ''}."
    subject = "It" if error["loc"] else "What was sent"
    return f"{subject} must be {expected.format_map(context)}{f', not {given}' if given else ''}."


def _shown(value: object) -> str:
    """Return a value as a user would write it; empty for lists and objects."""
    if isinstance(value, str):
        return repr(value[:_MOST_LETTERS])
    return json.dumps(value) if value is None or isinstance(value, int | float) else ""
