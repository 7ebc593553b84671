"""How subtitles look: the part of a format's name after the colon, as in `srt:columns=37,speed=15` or `vtt:words`."""

from dataclasses import dataclass, fields, replace

from legato.errors import LegatoError

_LIMITS = {"columns": (10, 200), "lines": (1, 4), "speed": (5, 100), "lead": (0, 2)}


@dataclass(frozen=True, slots=True)
class SubtitleStyle:
    """The layout and timing of subtitles.

    Attributes:
        columns: columns of a line, 10 to 200; a wide character takes two.
        lines: lines of a cue, 1 to 4.
        speed: reading speed in characters per second, 5 to 100, that cues keep to where the speech allows it.
        lead: seconds by which a cue appears before the time of its first word, 0 to 2. A model emits a word after its
            beginning: the embedded one 0.18 s later in the middle, and at most 0.29 s.
        words: whether every word has its own time, for karaoke; VTT and ASS have a notation for it.
    """

    columns: int = 42
    lines: int = 2
    speed: float = 17.0
    lead: float = 0.3
    words: bool = False


STYLE = SubtitleStyle()


def read_style(text: str) -> SubtitleStyle:
    """Read `columns=37,words` and the like; an empty text is the default style.

    Raises:
        LegatoError: an unknown name, or a value out of range.
    """
    style = STYLE
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if name == "words" and not value:
            style = replace(style, words=True)
            continue
        if name not in _LIMITS:
            names = ", ".join(field.name for field in fields(SubtitleStyle))
            raise LegatoError(f"Subtitles have no {name!r}. Use {names}, as in srt:columns=37,lines=1.")
        least, most = _LIMITS[name]
        try:
            number: float = int(value) if name in ("columns", "lines") else float(value)
        except ValueError:
            number = -1
        if not least <= number <= most:
            raise LegatoError(f"{name} of subtitles is a number from {least} to {most}, not {value!r}.")
        style = replace(style, **{name: number})  # type: ignore[arg-type]
    return style
