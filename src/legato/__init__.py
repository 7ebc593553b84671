"""Legato: streaming multilingual speech recognition on an ordinary CPU."""

from legato.decode.confidence import Confidence
from legato.engine.engine import Engine
from legato.engine.streams import AsyncEngineStream, EngineStream
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
from legato.recognizer import Recognizer, load
from legato.streaming.endpointing import Endpointing, join_segments
from legato.streaming.stream import Stream
from legato.types import Event, Final, Partial, Segment, Token, Transcript, Word
from legato.version import __version__

__all__ = [
    "AsyncEngineStream",
    "AudioError",
    "BundleError",
    "BusyError",
    "CheckpointError",
    "ChunkSizeError",
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
    "Stream",
    "Token",
    "Transcript",
    "Word",
    "__version__",
    "join_segments",
    "load",
]
