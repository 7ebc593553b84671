"""A transcript as text, JSON, a table or a list of words, and the table of all formats.

A writer is a pure function from a transcript to a text; `WRITERS` holds all of them, subtitles included. Every format
names the speakers if they are known.
"""

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import PurePath

from legato.errors import LegatoError
from legato.text.cues import label
from legato.text.sentences import SENTENCE_ENDS
from legato.text.style import read_style
from legato.text.subtitles import to_ass, to_srt, to_vtt
from legato.types import Partial, Segment, Transcript, Word


def to_txt(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Return the plain text and a line end; with endpoints or several speakers, one line per segment.

    Without them, an empty line separates paragraphs: they end at pauses of more than 3 s and, when they are long, with
    a sentence. Neither `model` nor `file` is part of it.
    """
    if transcript.segments and (transcript.endpointed or _speakers(transcript)):
        return "".join(f"{label(segment.speaker)}{segment.text}\n" for segment in transcript.segments)
    return "\n\n".join(_paragraphs(transcript)) + "\n"


def to_json(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Return everything that the transcript holds, as one indented JSON object.

    Args:
        transcript: what was recognized.
        model: name of the model, for the field `model`.
        file: name of the audio, for the field `file`.
    """
    values = as_dict(transcript, model=model, file=file)
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"


def to_jsonl(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Return one JSON object per line: a `segment` for each segment, then a `final` with the whole text."""
    segments = (json_line(event_as_dict(each, file=file)) for each in transcript.segments)
    return "".join(segments) + json_final(transcript, model=model, file=file)


def json_final(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Return the last line of `to_jsonl`."""
    values = as_dict(transcript, model=model, file=file)
    return json_line({"type": "final", **{key: value for key, value in values.items() if key not in _PARTS}})


def to_tsv(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Return a table with a header and one row per segment: start and end in ms, the speaker if known, the text."""
    named = _speakers(transcript)
    rows = [("start", "end", *(["speaker"] if named else []), "text")]
    for each in transcript.segments:
        speaker = [each.speaker or ""] if named else []
        rows.append((str(round(each.start * 1000)), str(round(each.end * 1000)), *speaker, each.text))
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)


def to_ctm(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Return NIST's CTM, one line per word: file, channel, start and duration in seconds, word, confidence if known.

    The file is its name without folder and extension, with `_` for spaces. The channel is the number of the speaker
    from 1, in order of names; 1 if the speakers are not known.
    """
    name = "_".join(PurePath(file or "-").stem.split()) or "-"
    speakers = _speakers(transcript)
    if not speakers:
        said = [(1, word) for word in transcript.words]
    else:
        said = [(speakers.index(each.speaker) + 1, word) for each in transcript.segments for word in each.words]
    said.sort(key=lambda each: (each[0], each[1].start))
    return "".join(
        f"{name} {channel} {word.start:.3f} {word.end - word.start:.3f} {word.text}{_ctm_confidence(word)}\n"
        for channel, word in said
    )


def to_words(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> str:
    """Return one word per line and nothing else."""
    return "".join(word.text + "\n" for word in transcript.words)


WRITERS: dict[str, Callable[..., str]] = {
    "txt": to_txt,
    "json": to_json,
    "jsonl": to_jsonl,
    "srt": to_srt,
    "vtt": to_vtt,
    "ass": to_ass,
    "tsv": to_tsv,
    "ctm": to_ctm,
    "words": to_words,
}
"""Writers by the name of their format, which is also the extension of its files."""

SUBTITLES = ("srt", "vtt", "ass")
"""The formats that take a style, as in `srt:columns=37`; see `legato.text.style`."""


def base_format(kind: str) -> str:
    """Return the name of a format without its style."""
    name, colon, _ = kind.partition(":")
    return name if colon and name in SUBTITLES else kind


def writer_of_format(kind: str) -> Callable[..., str]:
    """Return the writer of a format, with its style.

    Raises:
        KeyError: there is no such format.
        LegatoError: the style is wrong, or the format has no such style.
    """
    name, colon, style = kind.partition(":")
    if colon and name in SUBTITLES:
        wanted = read_style(style)
        if wanted.words and name == "srt":
            raise LegatoError("SRT has no times for single words. Use vtt:words or ass:words.")
        return partial(WRITERS[name], style=wanted)
    return WRITERS[kind]


#: A paragraph ends at a pause of more seconds, or with the first sentence after so many characters.
_PARAGRAPH_SECONDS, _PARAGRAPH_LETTERS = 3.0, 500
_PARTS = ("segments", "words", "tokens")


def as_dict(transcript: Transcript, *, model: str | None = None, file: str | None = None) -> dict[str, object]:
    """Return the transcript as plain values: times in seconds, tokens with id, piece, time and confidence.

    The keys `mostly_blank` and `partial` are present only if they are true.
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
    if transcript.partial:
        values["partial"] = True
    if transcript.mostly_blank:
        values["mostly_blank"] = True
    return values


def event_as_dict(event: Partial | Segment, *, file: str | None = None) -> dict[str, object]:
    """Return an event of a live stream as plain values. A segment holds its words and names the file."""
    if isinstance(event, Segment):
        return {"type": "segment", "file": file, **_segment(event, words=True)}
    tokens = [{"id": token.id, "piece": token.piece, "time": token.time} for token in event.tokens]
    return {"type": "partial", "time": event.time, "text": event.text, "tokens": tokens}


def json_line(values: dict[str, object]) -> str:
    """Return an object as JSON on one line, line end included."""
    return json.dumps(values, ensure_ascii=False) + "\n"


def _paragraphs(transcript: Transcript) -> Iterator[str]:
    """Yield the paragraphs of the text."""
    text, begin, position = transcript.text, 0, 0
    for before, segment in pairwise(transcript.segments):
        position = text.find(segment.text, position + len(before.text))
        if position < 0:  # not a text of these segments
            break
        long = position - begin > _PARAGRAPH_LETTERS and before.text.endswith(SENTENCE_ENDS)
        if long or segment.start - before.end > _PARAGRAPH_SECONDS:
            yield text[begin:position].strip()
            begin = position
    yield text[begin:]


def _known(confidence: float) -> float | None:
    """Return a confidence for JSON, which has no NaN; None stands for an unknown one."""
    return None if math.isnan(confidence) else confidence


def _ctm_confidence(word: Word) -> str:
    return "" if math.isnan(word.confidence) else f" {word.confidence:.4f}"


def _word(word: Word) -> dict[str, object]:
    return {
        "text": word.text,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "confidence": _known(word.confidence),
    }


def _segment(segment: Segment, *, words: bool = False) -> dict[str, object]:
    """Return a segment as plain values, with its words if asked or if it has a speaker: the other lists name none."""
    values: dict[str, object] = {
        "text": segment.text,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "language": segment.language,
        "reason": segment.reason,
        "confidence": _known(segment.confidence),
    }
    if segment.speaker is not None:
        values["speaker"] = segment.speaker
    if words or segment.speaker is not None:
        values["words"] = [_word(word) for word in segment.words]
    return values


def _speakers(transcript: Transcript) -> list[str | None]:
    """Return the speakers in order of their names; empty if they are not known."""
    named = sorted({segment.speaker for segment in transcript.segments if segment.speaker is not None})
    return [*named]
