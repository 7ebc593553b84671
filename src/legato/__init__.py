"""Legato: streaming multilingual speech recognition on an ordinary CPU."""

from legato.confidence import Confidence
from legato.endpoint import Endpointing, join_segments
from legato.engine import Engine
from legato.engine_streams import AsyncEngineStream, EngineStream
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
from legato.stream import Stream
from legato.transcript import Event, Final, Partial, Segment, Token, Transcript, Word

__version__ = "0.1.0"

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
