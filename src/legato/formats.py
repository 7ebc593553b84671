"""A transcript as text, JSON or subtitles.

Writers are pure: transcript in, text out. `WRITERS` names them.
"""

import html
import json
from collections.abc import Callable

import pysubs2

from legato.cues import cues
from legato.transcript import Transcript

_PROTECT = str.maketrans("\\{}", "\ufdd0\ufdd1\ufdd2")
_UNPROTECT = str.maketrans("\ufdd0\ufdd1\ufdd2", "\\{}")
"""Characters that are commands to pysubs2, and the noncharacters that stand for them inside it."""


def to_txt(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give the plain text and a line end, or a line for each segment; `model` and `file` are not in it."""
    return "".join(f"{part.text}\n" for part in transcript.segments or [transcript])


def to_json(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give everything the transcript holds, as one indented JSON object.

    Args:
        transcript: what was recognised.
        model: name of the model, for the field `model`.
        file: name of the audio, for the field `file`.
    """
    return json.dumps(as_dict(transcript, model=model, file=file), ensure_ascii=False, indent=2) + "\n"


def to_srt(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give SubRip subtitles; `model` and `file` are not in them."""
    return _subtitles(transcript, "srt", escape=str)


def to_vtt(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give WebVTT subtitles; `model` and `file` are not in them."""
    return _subtitles(transcript, "vtt", escape=lambda line: html.escape(line, quote=False))


WRITERS: dict[str, Callable[..., str]] = {"txt": to_txt, "json": to_json, "srt": to_srt, "vtt": to_vtt}
"""Name of a format (also its file name extension) -> its writer."""


def as_dict(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> dict[str, object]:
    """Give the transcript as plain values: times in seconds, tokens with id, piece and time.

    `segments` is there when there are some, and `mostly_blank` when it is true.
    """
    values: dict[str, object] = {
        "file": file,
        "model": model,
        "language": transcript.language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "words": [
            {"text": word.text, "start": round(word.start, 3), "end": round(word.end, 3)} for word in transcript.words
        ],
        "tokens": [{"id": token.id, "piece": token.piece, "time": round(token.time, 3)} for token in transcript.tokens],
    }
    if transcript.segments:
        values["segments"] = [
            {
                "start": round(segment.start, 3),
                "end": round(segment.end, 3),
                "language": segment.language,
                "text": segment.text,
                "reason": segment.reason,
            }
            for segment in transcript.segments
        ]
    if transcript.mostly_blank:
        values["mostly_blank"] = True
    return values


def _subtitles(transcript: Transcript, kind: str, escape: Callable[[str], str]) -> str:
    file = pysubs2.SSAFile()
    for cue in cues(transcript):
        text = r"\N".join(escape(line).translate(_PROTECT) for line in cue.lines)
        file.append(pysubs2.SSAEvent(start=cue.start, end=cue.end, text=text))
    text = file.to_string(kind, keep_ssa_tags=True).translate(_UNPROTECT).rstrip("\n")
    return text + "\n" if text else ""
