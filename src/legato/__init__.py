"""Legato: streaming multilingual speech recognition on an ordinary CPU."""

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
)
from legato.recognizer import Recognizer, load
from legato.stream import Stream
from legato.transcript import Event, Final, Partial, Token, Transcript, Word

__version__ = "0.1.0"

__all__ = [
    "AsyncEngineStream",
    "AudioError",
    "BundleError",
    "BusyError",
    "CheckpointError",
    "ChunkSizeError",
    "ConversionError",
    "DownloadError",
    "Engine",
    "EngineError",
    "EngineStream",
    "EvaluationError",
    "Event",
    "Final",
    "LanguageError",
    "LegatoError",
    "Partial",
    "Recognizer",
    "Stream",
    "Token",
    "Transcript",
    "Word",
    "__version__",
    "load",
]
