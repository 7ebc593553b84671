"""A transcript as text, JSON, subtitles or tables.

Writers are pure: transcript in, text out. `WRITERS` names them. Where the speakers are known, every format says them.
"""

import html
import json
from collections.abc import Callable
from pathlib import PurePath

import pysubs2

from legato.text.subtitles import cues, label
from legato.types import Partial, Segment, Transcript, Word

_PROTECT = str.maketrans("\\{}", "\ufdd0\ufdd1\ufdd2")
_UNPROTECT = str.maketrans("\ufdd0\ufdd1\ufdd2", "\\{}")
"""Characters that are commands to pysubs2, and the noncharacters that stand for them inside it."""


def to_txt(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give the plain text and a line end; with endpoints or several speakers, a line a segment.

    `model` and `file` are not in it.
    """
    if transcript.segments and (transcript.endpointed or _speakers(transcript)):
        return "".join(f"{label(segment.speaker)}{segment.text}\n" for segment in transcript.segments)
    return transcript.text + "\n"


def to_json(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give everything the transcript holds, as one indented JSON object.

    Args:
        transcript: what was recognised.
        model: name of the model, for the field `model`.
        file: name of the audio, for the field `file`.
    """
    return json.dumps(as_dict(transcript, model=model, file=file), ensure_ascii=False, indent=2) + "\n"


def to_jsonl(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give events, a JSON object a line: a `segment` for each, and at the end a `final` with the whole text."""
    segments = (json_line(event_as_dict(each, file=file)) for each in transcript.segments)
    return "".join(segments) + json_final(transcript, model=model, file=file)


def json_final(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give the last line of `to_jsonl`."""
    whole = {key: value for key, value in as_dict(transcript, model=model, file=file).items() if key not in _PARTS}
    return json_line({"type": "final", **whole})


def to_tsv(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give a table with a head: start and end in milliseconds, the speaker if there are any, and text, by segment."""
    named = _speakers(transcript)
    rows = [("start", "end", *(["speaker"] if named else []), "text")]
    for each in transcript.segments:
        speaker = [each.speaker or ""] if named else []
        rows.append((str(round(each.start * 1000)), str(round(each.end * 1000)), *speaker, each.text))
    return "".join("\t".join(" ".join(cell.split("\t")) for cell in row) + "\n" for row in rows)


def to_ctm(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give NIST's CTM, a word a line: file, channel, start, duration in seconds, word, confidence.

    The file is its name without folder and extension, with `_` for spaces; the channel is 1, or counts the speakers.
    """
    name = "_".join(PurePath(file or "-").stem.split()) or "-"
    speakers = _speakers(transcript) or [None]
    if speakers == [None]:
        said = [(1, word) for word in transcript.words]
    else:
        said = [(speakers.index(each.speaker) + 1, word) for each in transcript.segments for word in each.words]
    said.sort(key=lambda each: (each[0], each[1].start))
    return "".join(
        f"{name} {channel} {word.start:.3f} {word.end - word.start:.3f} {word.text} {word.confidence:.4f}\n"
        for channel, word in said
    )


def to_words(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give a word a line and nothing else."""
    return "".join(word.text + "\n" for word in transcript.words)


def to_srt(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give SubRip subtitles; `model` and `file` are not in them."""
    return _subtitles(transcript, "srt", escape=str)


def to_vtt(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Give WebVTT subtitles; `model` and `file` are not in them."""
    return _subtitles(transcript, "vtt", escape=lambda line: html.escape(line, quote=False))


WRITERS: dict[str, Callable[..., str]] = {
    "txt": to_txt,
    "json": to_json,
    "jsonl": to_jsonl,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
    "ctm": to_ctm,
    "words": to_words,
}
"""Name of a format (also its file name extension) -> its writer."""

_PARTS = ("segments", "words", "tokens")


def as_dict(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> dict[str, object]:
    """Give the transcript as plain values: times in seconds, tokens with id, piece, time and confidence.

    `mostly_blank` is there when it is true.
    """
    values: dict[str, object] = {
        "file": file,
        "model": model,
        "language": transcript.language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "segments": [_segment(segment) for segment in transcript.segments],
        "words": [_word(word) for word in transcript.words],
        "tokens": [
            {"id": token.id, "piece": token.piece, "time": round(token.time, 3), "confidence": token.confidence}
            for token in transcript.tokens
        ],
    }
    if transcript.mostly_blank:
        values["mostly_blank"] = True
    return values


def event_as_dict(event: Partial | Segment, *, file: str | None = None) -> dict[str, object]:
    """Give an event of a live stream as plain values; a segment names the file."""
    if isinstance(event, Segment):
        return {"type": "segment", "file": file, **_segment(event, words=True)}
    tokens = [{"id": token.id, "piece": token.piece, "time": token.time} for token in event.tokens]
    return {"type": "partial", "time": event.time, "text": event.text, "tokens": tokens}


def json_line(values: dict[str, object]) -> str:
    """Give an object as JSON on one line."""
    return json.dumps(values, ensure_ascii=False) + "\n"


def _word(word: Word) -> dict[str, object]:
    return {
        "text": word.text,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "confidence": word.confidence,
    }


def _segment(segment: Segment, *, words: bool = False) -> dict[str, object]:
    """Give a segment as plain values; with its words where speakers are known, as only it knows whose they are."""
    values: dict[str, object] = {
        "text": segment.text,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "language": segment.language,
        "reason": segment.reason,
        "confidence": segment.confidence,
    }
    if segment.speaker is not None:
        values["speaker"] = segment.speaker
    if words or segment.speaker is not None:
        values["words"] = [_word(word) for word in segment.words]
    return values


def _speakers(transcript: Transcript) -> list[str | None]:
    """Give the speakers in the order of their names; none when they are not known."""
    named = sorted({segment.speaker for segment in transcript.segments if segment.speaker is not None})
    return [*named]


def _subtitles(transcript: Transcript, kind: str, escape: Callable[[str], str]) -> str:
    file = pysubs2.SSAFile()
    for cue in cues(transcript):
        lines = [escape(line) for line in cue.lines]
        if cue.speaker and kind == "vtt":
            lines[0] = f"<v {escape(cue.speaker)}>{lines[0]}"
        else:
            lines[0] = label(cue.speaker) + lines[0]
        text = r"\N".join(line.translate(_PROTECT) for line in lines)
        file.append(pysubs2.SSAEvent(start=cue.start, end=cue.end, text=text))
    text = file.to_string(kind, keep_ssa_tags=True).translate(_UNPROTECT).rstrip("\n")
    return text + "\n" if text else ""
