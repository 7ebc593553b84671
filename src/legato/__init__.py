"""Legato: streaming multilingual speech recognition on an ordinary CPU."""

from legato.errors import (
    AudioError,
    BundleError,
    CheckpointError,
    ChunkSizeError,
    ConversionError,
    DownloadError,
    LanguageError,
    LegatoError,
)
from legato.recognizer import Recognizer, load
from legato.stream import Stream
from legato.transcript import Event, Final, Partial, Token, Transcript, Word

__version__ = "0.1.0"

__all__ = [
    "AudioError",
    "BundleError",
    "CheckpointError",
    "ChunkSizeError",
    "ConversionError",
    "DownloadError",
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
