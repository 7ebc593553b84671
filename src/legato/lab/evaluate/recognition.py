"""One utterance through one model: what is asked for, and what is measured."""

import time
from dataclasses import dataclass

import numpy as np

from legato.lab.machine import peak_rss_mb
from legato.recognizer import Recognizer
from legato.types import Final, Partial, Samples

#: Speech is where a frame of 20 ms is at most this many dB below the loudest frame.
SPEECH_DB = 35
_FRAME_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Job:
    """What to recognize, and how.

    Attributes:
        audio: path of the audio file.
        offset, duration: the part of the file, in seconds; the whole file without an offset.
        language: a prompt of the model, possibly `auto`.
        chunk_ms: chunk size.
    """

    audio: str
    offset: float | None
    duration: float | None
    language: str
    chunk_ms: int


@dataclass(frozen=True, slots=True)
class Recognition:
    """The result of a job. Times are seconds of audio from its start, unless stated otherwise.

    Attributes:
        text: the text.
        detected: the language that the model named; else the one asked for; None if that was `auto`.
        tokens: (id, encoder frame) of every token.
        spoken: (text, raw confidence) of every word.
        duration: length of the audio.
        speech_start, speech_end: bounds of the speech, judged by energy; None in silence.
        first_token, last_token: audio that had been accepted when the first and the last token were emitted, language
            tags not counted; None without a token.
        seconds: time spent on the whole utterance, chunk by chunk, without decoding the file.
        finish_seconds: time spent after the last sample.
        peak_rss_mb: peak memory of the process so far, in 10**6 bytes; None where the system does not report it.
        warnings: problems of the file that did not prevent its use.
    """

    text: str
    detected: str | None
    tokens: tuple[tuple[int, int], ...]
    spoken: tuple[tuple[str, float], ...]
    duration: float
    speech_start: float | None
    speech_end: float | None
    first_token: float | None
    last_token: float | None
    seconds: float
    finish_seconds: float
    peak_rss_mb: float | None
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, fields: dict[str, object]) -> "Recognition":
        """Return the recognition whose `asdict` was written as JSON, which has lists for tuples.

        Raises:
            KeyError, TypeError, ValueError: the fields are not those of a recognition.
        """
        tokens, spoken, warnings = fields["tokens"], fields["spoken"], fields["warnings"]
        if not (isinstance(tokens, list) and isinstance(spoken, list) and isinstance(warnings, list)):
            raise TypeError("tokens, spoken and warnings are lists")
        pairs = {"tokens": tuple((number, frame) for number, frame in tokens)}
        pairs |= {"spoken": tuple((text, confidence) for text, confidence in spoken)}
        return cls(**{**fields, **pairs, "warnings": tuple(warnings)})  # type: ignore[arg-type]


def recognize(recognizer: Recognizer, job: Job, samples: Samples, warnings: tuple[str, ...]) -> Recognition:
    """Run an utterance through a live stream, chunk by chunk, as for a user who is speaking."""
    first_token = last_token = None
    started = time.perf_counter()
    with recognizer.stream(language=job.language, chunk_ms=job.chunk_ms) as stream:
        events = stream.accept(samples)
        accepted = time.perf_counter()
        events += stream.finish()
    ended = time.perf_counter()
    tags = recognizer.bundle.language_tags
    for event in events:
        if isinstance(event, Partial) and any(token.id not in tags for token in event.tokens):
            first_token = event.time if first_token is None else first_token
            last_token = event.time
    final = events[-1]
    assert isinstance(final, Final)
    transcript = final.transcript
    start, end = speech_bounds(samples, recognizer.sample_rate)
    return Recognition(
        text=transcript.text,
        detected=transcript.language,
        tokens=tuple((token.id, token.frame) for token in transcript.tokens),
        spoken=tuple((word.text, word.confidence) for word in transcript.words),
        duration=transcript.duration,
        speech_start=start,
        speech_end=end,
        first_token=first_token,
        last_token=last_token,
        seconds=round(ended - started, 5),
        finish_seconds=round(ended - accepted, 5),
        peak_rss_mb=peak_rss_mb(),
        warnings=warnings,
    )


def speech_bounds(samples: Samples, rate: int) -> tuple[float | None, float | None]:
    """Return where speech starts and ends, in seconds, judged by energy alone; (None, None) in silence."""
    size = round(rate * _FRAME_SECONDS)
    padded = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    energy = np.square(padded, dtype=np.float64).mean(axis=1)
    if not energy.size or energy.max() < 1e-10:
        return None, None
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-SPEECH_DB / 10))
    end = min((int(loud[-1]) + 1) * _FRAME_SECONDS, len(samples) / rate)
    return round(int(loud[0]) * _FRAME_SECONDS, 3), round(end, 3)
