"""Subtitle files of a transcript: SubRip and WebVTT. Cues are numbered and separated by an empty line."""

import html

from legato.text.cues import Cue, cues_of, label
from legato.types import Transcript


def to_srt(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Return SubRip subtitles. Neither `model` nor `file` is part of them."""
    return "\n".join(_block(number, cue, ",", label(cue.speaker), cue.lines) for number, cue in _numbered(transcript))


def to_vtt(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Return WebVTT subtitles. Neither `model` nor `file` is part of them."""
    blocks = ["WEBVTT\n"]
    for number, cue in _numbered(transcript):
        voice = f"<v {_escaped(cue.speaker)}>" if cue.speaker else ""
        blocks.append(_block(number, cue, ".", voice, tuple(map(_escaped, cue.lines))))
    return "\n".join(blocks)


def timestamp(milliseconds: int, mark: str = ".") -> str:
    """Return a time as `00:01:02.345`, with `mark` before the milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{rest:03}"


def _numbered(transcript: Transcript) -> enumerate[Cue]:
    return enumerate(cues_of(transcript), 1)


def _block(number: int, cue: Cue, mark: str, speaker: str, lines: tuple[str, ...]) -> str:
    text = speaker + "\n".join(lines)
    return f"{number}\n{timestamp(cue.start, mark)} --> {timestamp(cue.end, mark)}\n{text}\n"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
