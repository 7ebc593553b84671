"""Errors that Legato raises on purpose.

Every message says what was wrong and what to do about it, so that a program can show it to its user as it is.
"""


class LegatoError(Exception):
    """Base class: catch this to catch everything that Legato raises on purpose."""


class AudioError(LegatoError):
    """Audio that cannot be read or is not usable: not audio, empty, no audio track, NaN samples."""


class MicrophoneError(AudioError):
    """A microphone that is not there, cannot be opened, or stopped sending."""


class OutputError(LegatoError):
    """A result that cannot be written.

    Attributes:
        no_room: the disk is full, so nothing else can be written either.
    """

    def __init__(self, message: str, *, no_room: bool = False) -> None:
        super().__init__(message)
        self.no_room = no_room


class LanguageError(LegatoError):
    """A language that the model has no prompt for."""


class ChunkSizeError(LegatoError):
    """A chunk size that the model cannot run."""


class PhraseError(LegatoError):
    """A phrase that cannot be boosted: empty, or with characters that the vocabulary lacks."""


class NGramError(LegatoError):
    """An n-gram that cannot be used: unreadable, broken, or of another vocabulary."""


class BundleError(LegatoError):
    """A model folder that is missing, incomplete, altered or not a bundle."""


class CheckpointError(LegatoError):
    """A checkpoint that cannot be converted: broken, unsafe, or of another architecture."""


class ConversionError(LegatoError):
    """A conversion that failed after its checkpoint was read: no room, failed check, existing output."""


class StudyError(LegatoError):
    """A study that cannot be made: no usable audio, unknown recipes or layers, a folder that holds another study."""


class DownloadError(LegatoError):
    """A model that could not be downloaded, or arrived altered."""


class EvaluationError(LegatoError):
    """An evaluation that cannot be made: data or an earlier report that cannot be read, nothing to score."""


class EngineError(LegatoError):
    """A stream of an engine that cannot go on: closed, or its engine is closed."""


class BusyError(EngineError):
    """The engine has no room now: for another stream, or for more audio of this one. Try again later.

    Attributes:
        accepted: samples of the refused piece that were taken all the same, from its start.
    """

    def __init__(self, message: str, accepted: int = 0) -> None:
        super().__init__(message)
        self.accepted = accepted
