"""Streaming multilingual speech recognition on an ordinary CPU."""

from legato.engine import AsyncEngineStream, Engine, EngineStream
from legato.errors import (
    AudioError,
    BundleError,
    BusyError,
    CheckpointError,
    ChunkSizeError,
    ConversionError,
    DownloadError,
    EngineError,
    EvaluationError,
    LanguageError,
    LegatoError,
    NGramError,
    PhraseError,
)
from legato.options import Endpointing, StreamOptions
from legato.recognizer import Recognizer, load
from legato.streaming.collect import join_segments
from legato.streaming.controls import Commit, SetEndpoint, SetLanguage, SetPhrases
from legato.streaming.stream import Stream
from legato.types import Confidence, Event, Final, Partial, Segment, Token, Transcript, Word
from legato.version import __version__

__all__ = [
    "AsyncEngineStream",
    "AudioError",
    "BundleError",
    "BusyError",
    "CheckpointError",
    "ChunkSizeError",
    "Commit",
    "Confidence",
    "ConversionError",
    "DownloadError",
    "Endpointing",
    "Engine",
    "EngineError",
    "EngineStream",
    "EvaluationError",
    "Event",
    "Final",
    "LanguageError",
    "LegatoError",
    "NGramError",
    "Partial",
    "PhraseError",
    "Recognizer",
    "Segment",
    "SetEndpoint",
    "SetLanguage",
    "SetPhrases",
    "Stream",
    "StreamOptions",
    "Token",
    "Transcript",
    "Word",
    "__version__",
    "join_segments",
    "load",
]
