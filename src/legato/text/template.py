"""A line per segment in a form that the user gives: `--output-template "{start:.2f} {text}"`.

A template may hold the fields below with a width, an alignment and a number of digits, and nothing else: no attribute,
index or conversion.
"""

import re
from collections.abc import Callable
from string import Formatter

from legato.errors import LegatoError
from legato.text.subtitles import timestamp
from legato.types import Segment, Transcript

FIELDS = (
    "text", "start", "end", "duration", "start_time", "end_time", "language", "confidence", "speaker", "index", "file",
    "model",
)  # fmt: skip
_SPEC = re.compile(r"[<>^]?0?\d{0,3}(\.\d{1,2})?[fds]?")
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}


def compile_template(template: str) -> Callable[..., str]:
    r"""Return a writer, as in `legato.text.formats`, that writes a line for each segment.

    Args:
        template: text with fields in braces, `{{` for a brace, and `\n`, `\t`, `\\`. `start`, `end` and `duration` are
            in seconds, `start_time` and `end_time` look like 00:01:02.345, `index` counts from 1.

    Raises:
        LegatoError: the template has no field, an unknown field, or a format that does not suit the field.
    """
    plain = re.sub(r"\\[nt\\]", lambda match: _ESCAPES[match[0]], template)
    try:
        parts = [part for part in Formatter().parse(plain) if part[1] is not None]
        for _, field, spec, conversion in parts:
            if field not in FIELDS:
                raise LegatoError(f"--output-template: there is no field {{{field}}}. Use one of: {', '.join(FIELDS)}.")
            if conversion or not _fits(field, spec or ""):
                form = _SUGGESTED.get(type(_SAMPLE[field]), "<20")
                raise LegatoError(
                    f"--output-template: the format of {{{field}}} is not allowed. Try {{{field}:{form}}}."
                )
        if not parts:
            raise LegatoError(
                "--output-template: the template has no field. Try '{start:.2f} {text}', with any of: "
                f"{', '.join(FIELDS)}."
            )
    except ValueError as error:
        raise LegatoError(f"--output-template: {error}. Write fields as {{text}}, and a brace as {{{{.") from None

    def write(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
        return "".join(
            plain.format(**_values(segment, index, file, model)) + "\n"
            for index, segment in enumerate(transcript.segments, 1)
        )

    return write


def _fits(field: str, spec: str) -> bool:
    """Return whether a format is allowed, and suits the values of the field."""
    if not _SPEC.fullmatch(spec):
        return False
    try:
        format(_SAMPLE[field], spec)
    except ValueError:
        return False
    return True


def _values(segment: Segment, index: int, file: str | None, model: str | None) -> dict[str, str | float]:
    return {
        "text": segment.text,
        "start": segment.start,
        "end": segment.end,
        "duration": round(segment.end - segment.start, 3),
        "start_time": timestamp(round(segment.start * 1000)),
        "end_time": timestamp(round(segment.end * 1000)),
        "language": segment.language or "",
        "confidence": segment.confidence,
        "speaker": segment.speaker or "",
        "index": index,
        "file": file or "",
        "model": model or "",
    }


#: A value per field, to try formats on.
_SAMPLE = _values(Segment("", 0.0, 0.0, None, (), ()), 1, None, None)
#: A format to suggest per type of value; texts have a width.
_SUGGESTED = {float: ".2f", int: "03d"}
