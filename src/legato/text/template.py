"""A user's own line for each segment: `--output-template "{start:.2f} {text}"`.

Only the fields below and plain numbers or widths behind a colon are allowed: a template reaches nothing else.
"""

import re
from collections.abc import Callable
from string import Formatter

from legato.errors import LegatoError
from legato.types import Segment, Transcript

FIELDS = (
    "text", "start", "end", "duration", "start_time", "end_time", "language", "confidence", "speaker", "index", "file",
    "model",
)  # fmt: skip
_SPEC = re.compile(r"[<>^]?0?\d{0,3}(\.\d{1,2})?[fds]?")
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}


def compile_template(template: str) -> Callable[..., str]:
    r"""Make a writer, as those in `legato.text.formats`, of a template; it gives a line for each segment.

    Args:
        template: text with fields in braces, `{{` for a brace, and `\n`, `\t`, `\\`. `start`, `end` and `duration` are
            seconds, `start_time` and `end_time` are as 00:01:02.345, `index` counts from 1.

    Raises:
        LegatoError: an unknown field, or a format that its value cannot have.
    """
    plain = re.sub(r"\\[nt\\]", lambda match: _ESCAPES[match[0]], template)
    try:
        parts = [part for part in Formatter().parse(plain) if part[1] is not None]
        for _, field, spec, conversion in parts:
            if field not in FIELDS:
                raise LegatoError(f"--output-template: no field {{{field}}}. There are: {', '.join(FIELDS)}.")
            if conversion or not _SPEC.fullmatch(spec or ""):
                raise LegatoError(
                    f"--output-template: {{{field}}} has a format that is not allowed; try {{{field}:.2f}}."
                )
        plain.format(**_values(Segment("", 0.0, 0.0, None, (), ()), 1, None, None))
        if not parts:
            raise LegatoError(
                f"--output-template: no field in it. Try '{{start:.2f}} {{text}}'; there are: {', '.join(FIELDS)}."
            )
    except ValueError as error:
        raise LegatoError(f"--output-template: {error}. Write fields as {{text}}, and a brace as {{{{.") from None

    def write(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
        return "".join(
            plain.format(**_values(segment, index, file, model)) + "\n"
            for index, segment in enumerate(transcript.segments, 1)
        )

    return write


def _values(segment: Segment, index: int, file: str | None, model: str | None) -> dict[str, str | float]:
    return {
        "text": segment.text,
        "start": segment.start,
        "end": segment.end,
        "duration": round(segment.end - segment.start, 3),
        "start_time": _clock(segment.start),
        "end_time": _clock(segment.end),
        "language": segment.language or "",
        "confidence": segment.confidence,
        "speaker": segment.speaker or "",
        "index": index,
        "file": file or "",
        "model": model or "",
    }


def _clock(seconds: float) -> str:
    total = round(seconds * 1000)
    return f"{total // 3_600_000:02}:{total // 60_000 % 60:02}:{total // 1000 % 60:02}.{total % 1000:03}"
