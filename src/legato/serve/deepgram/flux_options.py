"""The options of Deepgram's interface with turns, from the query of `/v2/listen` and from `Configure`.

Deepgram ends a turn when a model is confident enough that it is over. Here a turn ends by silence: a higher threshold
means a longer silence.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.datastructures import QueryParams

from legato.audio.pcm import AudioFormat
from legato.options import Endpointing, StreamOptions
from legato.serve.core.fields import as_mapping, as_number, as_texts, parse_number
from legato.serve.core.languages import requested_language
from legato.serve.deepgram.options import audio_format_of, ignored, refuse_private

_KNOWN = frozenset(
    {
        "model", "encoding", "sample_rate", "eager_eot_threshold", "eot_threshold", "eot_timeout_ms", "keyterm",
        "language_hint", "language", "channels", "mip_opt_out", "tag",
    }
)  # fmt: skip
#: Least and most value of each threshold, as Deepgram has them.
_RANGES = {"eager_eot_threshold": (0.3, 0.9), "eot_threshold": (0.5, 1.0), "eot_timeout_ms": (500.0, 60_000.0)}
#: Seconds of silence for thresholds of 0.5 and 0.9; in between they grow evenly.
_SILENCE_AT_HALF, _SILENCE_AT_HIGH = 0.4, 1.2
_SHORTEST, _SHORTEST_REST = 0.3, 0.08


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a turn ends.

    Attributes:
        eager: confidence for an `EagerEndOfTurn`; None for no such event.
        end: confidence for an `EndOfTurn`; 1 leaves it to the timeout.
        timeout_ms: milliseconds of silence that end a turn in any case.
    """

    eager: float | None = None
    end: float = 0.7
    timeout_ms: float = 5000.0

    @property
    def silence(self) -> float:
        """Seconds of silence that end a turn."""
        return min(self.timeout_ms / 1000, math.inf if self.end >= 1 else _silence(self.end))

    @property
    def by_timeout(self) -> bool:
        """Whether it is the timeout that ends a turn."""
        return self.silence == self.timeout_ms / 1000

    @property
    def eager_silence(self) -> float | None:
        """Seconds of silence before an `EagerEndOfTurn`; None if there is none before the end of the turn."""
        if self.eager is None:
            return None
        seconds = _silence(self.eager)
        return seconds if seconds <= self.silence - _SHORTEST_REST else None

    @property
    def endpoint(self) -> Endpointing:
        """The endpoint rules of the stream. With eager events, the rest of the silence is a segment without speech."""
        eager = self.eager_silence
        if eager is None:
            return Endpointing(after_speech=self.silence, without_speech=math.inf, longest=math.inf)
        return Endpointing(after_speech=eager, without_speech=self.silence - eager, longest=math.inf)

    def updated(self, given: Mapping[str, object], where: str = "") -> "Thresholds":
        """Return the thresholds with those that a client gives.

        Args:
            given: numbers by Deepgram's names; null keeps a value.
            where: prefix of the names, for errors.

        Raises:
            InvalidValueError: a number is out of range.
        """
        found = self
        for field, name in zip(("eager", "end", "timeout_ms"), _RANGES, strict=True):
            if (value := given.get(name)) is not None:
                found = replace(found, **{field: as_number(value, *_RANGES[name], where + name)})
        return found

    def as_dict(self) -> dict[str, object]:
        """Return the thresholds by Deepgram's names."""
        return {
            "eager_eot_threshold": self.eager, "eot_threshold": self.end, "eot_timeout_ms": round(self.timeout_ms),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class FluxOptions:
    """The options of a connection.

    Attributes:
        audio_format: format of raw audio; None for audio in a container.
        thresholds: when a turn ends.
        keyterms: phrases to recognize more readily.
        hints: languages that the client expects; several leave the choice to the model.
        language: another way to name the language, which clients of the older interface have.
        warnings: a text for each option that is ignored.
    """

    audio_format: AudioFormat | None = None
    thresholds: Thresholds = Thresholds()
    keyterms: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    language: str | None = None
    warnings: tuple[str, ...] = ()

    def stream_options(self, defaults: StreamOptions) -> StreamOptions:
        """Return the options of the stream, given those of the server."""
        return replace(
            defaults,
            language=self.language_or(defaults.language),
            endpoint=self.thresholds.endpoint,
            phrases=list(self.keyterms),
        )

    def language_or(self, default: str) -> str:
        """Return the language that the client asks for, or else a default."""
        return requested_language(self.language, self.hints) or default

    def updated(self, message: Mapping[str, object]) -> "FluxOptions":
        """Return the options with those of a `Configure`.

        Raises:
            InvalidValueError: a field is wrong.
        """
        thresholds = as_mapping(message.get("thresholds") or {}, "thresholds")
        found = replace(self, thresholds=self.thresholds.updated(thresholds, "thresholds."))
        if (terms := message.get("keyterms")) is not None:
            found = replace(found, keyterms=tuple(as_texts([terms] if isinstance(terms, str) else terms, "keyterms")))
        if (hints := message.get("language_hints")) is not None:
            found = replace(found, hints=tuple(as_texts(hints, "language_hints")), language=None)
        return found


def flux_options(query: QueryParams) -> FluxOptions:
    """Read the query.

    Raises:
        InvalidValueError: an option is wrong, or ignoring it would break a promise of privacy.
    """
    refuse_private(query)
    numbers = {name: parse_number(value, *_RANGES[name], name) for name in _RANGES if (value := query.get(name))}
    return FluxOptions(
        audio_format=audio_format_of(query),
        thresholds=Thresholds().updated(numbers),
        keyterms=tuple(query.getlist("keyterm")),
        hints=tuple(value for value in query.getlist("language_hint") if value),
        language=query.get("language"),
        warnings=ignored(query, _KNOWN),
    )


def _silence(threshold: float) -> float:
    """Return the seconds of silence that stand for a confidence."""
    slope = (_SILENCE_AT_HIGH - _SILENCE_AT_HALF) / 0.4
    return round(max(_SHORTEST, _SILENCE_AT_HALF + (threshold - 0.5) * slope), 3)
