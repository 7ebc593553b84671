"""Subtitle files of a transcript: SubRip, WebVTT and Advanced SubStation Alpha."""

import html
from itertools import pairwise

from legato.text.cues import Cue, cues_of, label
from legato.text.style import STYLE, SubtitleStyle
from legato.text.units import Unit
from legato.types import Transcript

_ASS_HEADER = """[Script Info]
ScriptType: v4.00+
WrapStyle: 2
PlayResX: 1280
PlayResY: 720

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,44,&H00FFFFFF,&H00A0A0A0,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,3,0,2,40,40,40,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def to_srt(
    transcript: Transcript, *, model: str | None = None, file: str | None = None, style: SubtitleStyle = STYLE
) -> str:
    """Return SubRip subtitles. Neither `model` nor `file` is part of them."""
    blocks = (
        _block(number, cue, ",", label(cue.speaker) + "\n".join(cue.lines))
        for number, cue in _numbered(transcript, style)
    )
    return "\n".join(blocks)


def to_vtt(
    transcript: Transcript, *, model: str | None = None, file: str | None = None, style: SubtitleStyle = STYLE
) -> str:
    """Return WebVTT subtitles. Neither `model` nor `file` is part of them."""
    blocks = ["WEBVTT\n"]
    for number, cue in _numbered(transcript, style):
        voice = f"<v {_escaped(cue.speaker)}>" if cue.speaker else ""
        text = _timed_vtt(cue, style) if style.words else "\n".join(map(_escaped, cue.lines))
        blocks.append(_block(number, cue, ".", voice + text))
    return "\n".join(blocks)


def to_ass(
    transcript: Transcript, *, model: str | None = None, file: str | None = None, style: SubtitleStyle = STYLE
) -> str:
    """Return subtitles of Advanced SubStation Alpha. Neither `model` nor `file` is part of them."""
    lines = [_ASS_HEADER]
    for cue in cues_of(transcript, style):
        text = _timed_ass(cue, style) if style.words else r"\N".join(map(_escaped_ass, cue.lines))
        name = _escaped_ass(cue.speaker or "").replace(",", " ")
        said = _escaped_ass(label(cue.speaker)) + text
        lines.append(f"Dialogue: 0,{_ass_time(cue.start)},{_ass_time(cue.end)},Default,{name},0,0,0,,{said}\n")
    return "".join(lines)


def timestamp(milliseconds: int, mark: str = ".") -> str:
    """Return a time as `00:01:02.345`, with `mark` before the milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{rest:03}"


def _numbered(transcript: Transcript, style: SubtitleStyle) -> enumerate[Cue]:
    return enumerate(cues_of(transcript, style), 1)


def _block(number: int, cue: Cue, mark: str, text: str) -> str:
    return f"{number}\n{timestamp(cue.start, mark)} --> {timestamp(cue.end, mark)}\n{text}\n"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _timed_vtt(cue: Cue, style: SubtitleStyle) -> str:
    """Return the lines of a cue with the time of every word but the first before it."""
    before = cue.start
    lines = []
    for row in cue.rows:
        line = ""
        for number, unit in enumerate(row):
            moment = _moment(unit, cue, style)
            mark = f"<{timestamp(moment)}>" if before < moment < cue.end else ""
            before = max(before, moment)
            line += (" " if unit.spaced and number else "") + mark + _escaped(unit.text)
        lines.append(line)
    return "\n".join(lines)


def _timed_ass(cue: Cue, style: SubtitleStyle) -> str:
    r"""Return the lines of a cue with the duration of every word before it, `{\k50}` for half a second."""
    units = [unit for row in cue.rows for unit in row]
    moments = [cue.start // 10, *(_moment(unit, cue, style) // 10 for unit in units[1:]), cue.end // 10]
    lasting = iter([after - before for before, after in pairwise(moments)])
    return r"\N".join(
        "".join(
            f"{{\\k{next(lasting)}}}" + (" " if unit.spaced and number else "") + _escaped_ass(unit.text)
            for number, unit in enumerate(row)
        )
        for row in cue.rows
    )


def _moment(unit: Unit, cue: Cue, style: SubtitleStyle) -> int:
    """Return when a word is marked: by the lead before its time, within its cue."""
    return min(max(unit.start - round(style.lead * 1000), cue.start), cue.end)


def _ass_time(milliseconds: int) -> str:
    hundredths = milliseconds // 10
    return f"{hundredths // 360000}:{hundredths // 6000 % 60:02}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"


def _escaped_ass(text: str) -> str:
    """Return text in which nothing is a command: braces and backslashes become characters that look like them."""
    return text.replace("\\", "\u29f5").replace("{", "\uff5b").replace("}", "\uff5d").replace("\n", " ")
