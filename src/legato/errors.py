"""Errors that Legato raises on purpose.

Every message says what was wrong and what to do about it. A program can show it to its user unchanged.
"""


class LegatoError(Exception):
    """Base class of all errors that Legato raises on purpose."""


class AudioError(LegatoError):
    """Audio that cannot be read or used: not audio, empty, without an audio track, with NaN samples."""


class MicrophoneError(AudioError):
    """A microphone that does not exist, cannot be opened, or stopped sending."""


class OutputError(LegatoError):
    """A result that cannot be written.

    Attributes:
        no_room: the disk is full, so no other result can be written either.
    """

    def __init__(self, message: str, *, no_room: bool = False) -> None:
        super().__init__(message)
        self.no_room = no_room


class LanguageError(LegatoError):
    """A language for which the model has no prompt."""


class ChunkSizeError(LegatoError):
    """A chunk size that the model cannot run."""


class PhraseError(LegatoError):
    """A phrase that cannot be boosted: empty, or with characters that the vocabulary lacks."""


class NGramError(LegatoError):
    """An n-gram model that cannot be used: unreadable, broken, or of another vocabulary."""


class BundleError(LegatoError):
    """A model folder that is missing, incomplete, altered, not a bundle, or made by a newer Legato."""


class InstallationError(BundleError):
    """A model that this installation cannot run: packages are missing or too old. The model may be sound."""


class CheckpointError(LegatoError):
    """A checkpoint that cannot be converted: broken, unsafe, or of another architecture."""


class ConversionError(LegatoError):
    """A conversion that failed after its checkpoint was read: disk full, check failed, output exists."""


class StudyError(LegatoError):
    """A study that cannot be made: no usable audio, unknown recipes or layers, a folder that holds another study."""


class DownloadError(LegatoError):
    """A model that could not be downloaded, or that was altered on the way."""


class EvaluationError(LegatoError):
    """An evaluation that cannot be made: unreadable data, an unreadable earlier report, or nothing to score."""


class EngineError(LegatoError):
    """An engine's stream that cannot continue, because it or its engine is closed."""


class BusyError(EngineError):
    """The engine has no room at present: for another stream, or for more audio of this one. Try again later.

    Attributes:
        accepted: number of samples, from the start of the refused piece, that were accepted nevertheless.
    """

    def __init__(self, message: str, accepted: int = 0) -> None:
        super().__init__(message)
        self.accepted = accepted
