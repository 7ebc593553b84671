"""The microphone: PortAudio's thread fills a queue, the recogniser's thread takes blocks out of it."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty
from types import TracebackType
from typing import Any, Protocol, Self, cast

import numpy as np
import soxr
from numpy.typing import NDArray

from legato.audio.live import LiveSource
from legato.audio.source import SAMPLE_RATE, Samples
from legato.errors import MicrophoneError

logger = logging.getLogger("legato")

_BLOCK_SECONDS = 0.05
_CLOSE_SECONDS = 2.0
_BEHIND_SECONDS = 300
"""Audio that may wait to be heard, when the machine is too slow; what comes beyond it is lost, and told."""


class InputStream(Protocol):
    """What we use of `sounddevice.InputStream`."""

    def start(self) -> None:
        """Begin to call back."""

    def close(self, ignore_errors: bool = True) -> None:
        """End it."""


class Backend(Protocol):
    """What we use of the module `sounddevice`."""

    @property
    def PortAudioError(self) -> type[Exception]:  # noqa: N802
        """What it raises."""

    @property
    def InputStream(self) -> Callable[..., InputStream]:  # noqa: N802
        """Opens a stream."""

    def query_devices(self) -> Sequence[Mapping[str, Any]]:
        """Give all devices: name, index, max_input_channels, default_samplerate."""


@dataclass(frozen=True, slots=True)
class Device:
    """An input device.

    Attributes:
        number: PortAudio's index of it.
        name: as the system calls it.
        channels: that it records at most.
        rate: samples a second that it likes best.
        default: it is used when none is chosen.
    """

    number: int
    name: str
    channels: int
    rate: float
    default: bool


class Microphone(LiveSource):
    """A microphone as blocks of float32[n], mono, 16 kHz: use `with`, and iterate.

    Another thread may call `stop`. When the device vanishes, what it sent is given first, then MicrophoneError raised.

    Args:
        device: number, name or part of a name of an input device; None is the system's default.
        backend: the module `sounddevice`, or what does the same.
        patience: seconds without audio after which the device counts as gone.

    Raises:
        MicrophoneError: no such device, it cannot be opened, or sounddevice or PortAudio is missing.
    """

    def __init__(
        self, device: int | str | None = None, *, backend: Backend | None = None, patience: float = 5.0
    ) -> None:
        super().__init__()
        self._backend = backend or load_backend()
        self._patience = patience
        self._came = self._taken = 0  # samples; each is counted by one thread alone
        self._lost = 0
        self._told = False
        self._ended = False
        self.device = choose_device(list_devices(self._backend), device)
        self._stream, self._rate = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the device go; harmless when it is gone."""
        self._stopped = True
        # A driver whose device has vanished may never return; that must not hold the caller.
        closing = threading.Thread(target=self._stream.close, name="legato-microphone", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    def __iter__(self) -> Iterator[Samples]:
        """Start the device and give what it sends.

        Raises:
            MicrophoneError: it cannot be started, or stopped sending.
        """
        resampler = soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, "float32") if self._rate != SAMPLE_RATE else None
        try:
            self._stream.start()
        except self._backend.PortAudioError as error:
            raise self._error(f"cannot be started ({_reason(error)})") from None
        while True:
            try:
                block = self._next(self._patience)
            except Empty:
                raise self._error(f"sent nothing for {self._patience:g} s: it is gone or muted by the system") from None
            if block is None:
                if self._ended and not self._stopped:
                    raise self._error("stopped sending: it was unplugged or taken away")
                break
            self._taken += len(block)
            self._tell_lost()
            block = block if resampler is None else resampler.resample_chunk(block)
            if len(block):
                yield block
        if resampler is not None and len(rest := resampler.resample_chunk(np.zeros(0, np.float32), last=True)):
            yield rest

    def _open(self) -> tuple[InputStream, int]:
        """Open the device at 16 kHz mono if it can, else at its own rate, else with its own channels too."""
        own, channels = round(self.device.rate), min(self.device.channels, 2)
        tries = dict.fromkeys([(SAMPLE_RATE, 1), (own, 1), (own, channels)])
        reasons = []
        for rate, count in tries:
            try:
                with _quiet():
                    stream = self._backend.InputStream(
                        samplerate=rate,
                        blocksize=round(rate * _BLOCK_SECONDS),
                        device=self.device.number,
                        channels=count,
                        dtype="float32",
                        callback=self._hear,
                        finished_callback=self._finished,
                    )
            except (self._backend.PortAudioError, ValueError) as error:
                reasons.append(_reason(error))
                continue
            return stream, rate
        raise self._error(f"cannot be opened ({reasons[-1]}). Is another program using it, may this one?")

    def _hear(self, data: NDArray[np.float32], frames: int, _time: object, status: object) -> None:
        """Take a block; PortAudio's thread calls this and must not wait."""
        if getattr(status, "input_overflow", False):
            self._lost += 1
        if self._stopped:
            return
        if self._came - self._taken > _BEHIND_SECONDS * self._rate:
            self._lost += 1
            return
        self._came += frames
        # A copy: PortAudio fills its buffer again. A driver's NaN would stop the recogniser.
        clean = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
        self._queue.put(np.clip(clean, -1, 1).mean(axis=1, dtype=np.float32))

    def _finished(self) -> None:
        self._ended = True
        self._queue.put(None)

    def _tell_lost(self) -> None:
        if self._lost and not self._told:
            self._told = True
            logger.warning("Some audio of %s was lost: this machine does not keep up.", self.device.name)

    def _error(self, what: str) -> MicrophoneError:
        return MicrophoneError(
            f"microphone {self.device.number} ({self.device.name}): {what}. "
            "'legato listen --list-devices' shows what is there."
        )


def load_backend() -> Backend:
    """Import sounddevice.

    Raises:
        MicrophoneError: it or PortAudio is not installed.
    """
    try:
        with _quiet():
            import sounddevice  # noqa: PLC0415 - optional
    except ImportError:
        raise MicrophoneError("the microphone needs the package sounddevice: pip install 'legato[mic]'.") from None
    except OSError as error:
        raise MicrophoneError(
            f"sounddevice cannot be used: {error}. Install PortAudio (Debian and Ubuntu: apt install libportaudio2; "
            "Fedora: dnf install portaudio; macOS and Windows: the package brings it)."
        ) from None
    except Exception as error:  # sounddevice.PortAudioError: the sound system does not answer
        raise MicrophoneError(f"the sound system does not work: {_reason(error)}.") from None
    return cast(Backend, sounddevice)


def list_devices(backend: Backend | None = None) -> list[Device]:
    """Give all input devices; none is no error.

    Raises:
        MicrophoneError: sounddevice or PortAudio is missing or does not work.
    """
    backend = backend or load_backend()
    try:
        found = [entry for entry in backend.query_devices() if entry["max_input_channels"] > 0]
    except backend.PortAudioError as error:
        raise MicrophoneError(f"the sound system does not work: {_reason(error)}.") from None
    chosen = _default_number(backend)
    numbers = [int(entry["index"]) for entry in found]
    if chosen not in numbers:
        chosen = numbers[0] if numbers else -1
    return [
        Device(
            int(entry["index"]),
            str(entry["name"]),
            int(entry["max_input_channels"]),
            float(entry["default_samplerate"]),
            entry["index"] == chosen,
        )
        for entry in found
    ]


def choose_device(devices: Sequence[Device], wanted: int | str | None) -> Device:
    """Find a device by number, name or part of its name.

    Raises:
        MicrophoneError: there is none, or more than one.
    """
    if not devices:
        raise MicrophoneError("there is no microphone. Plug one in, or allow this program to use it.")
    listed = "; ".join(f"{device.number} {device.name}" for device in devices)
    if wanted is None:
        return next((device for device in devices if device.default), devices[0])
    if isinstance(wanted, int) or wanted.isdecimal():
        fitting = [device for device in devices if device.number == int(wanted)]
    else:
        fitting = [device for device in devices if device.name == wanted] or [
            device for device in devices if wanted.casefold() in device.name.casefold()
        ]
    if not fitting:
        raise MicrophoneError(f"there is no microphone {wanted!r}. There are: {listed}.")
    if len(fitting) > 1:
        several = "; ".join(f"{device.number} {device.name}" for device in fitting)
        raise MicrophoneError(f"{wanted!r} fits several microphones: {several}. Give the number.")
    return fitting[0]


def _default_number(backend: Backend) -> int | None:
    """The system's default input device, if it has one."""
    device = getattr(getattr(backend, "default", None), "device", None)
    try:
        number = device[0] if device is not None else None
    except (TypeError, IndexError):
        number = device
    return number if isinstance(number, int) and number >= 0 else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what sound libraries write to standard error themselves away from the user: we say what matters."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no standard error
        yield
        return
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _reason(error: Exception) -> str:
    return str(error.args[0] if error.args else error).strip().rstrip(".")
