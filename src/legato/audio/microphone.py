"""Microphones: PortAudio's thread fills a queue, and the recognizer's thread reads from it."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty
from typing import Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from legato.audio.live import LiveSource
from legato.audio.resample import SAMPLE_RATE, Resampler
from legato.errors import MicrophoneError
from legato.installation import install_command
from legato.types import Samples

logger = logging.getLogger("legato")

_BLOCK_SECONDS = 0.05
_CLOSE_SECONDS = 2.0
_BUFFER_SECONDS = 300
"""Unread audio that is kept when the machine is too slow. Further audio is lost, with a warning."""


class InputStream(Protocol):
    """The part of `sounddevice.InputStream` that Legato uses."""

    def start(self) -> None:
        """Start the callbacks."""

    def close(self, ignore_errors: bool = True) -> None:
        """Stop and close the stream."""


class Backend(Protocol):
    """The part of the module `sounddevice` that Legato uses."""

    @property
    def PortAudioError(self) -> type[Exception]:  # noqa: N802
        """The class of its errors."""

    @property
    def InputStream(self) -> Callable[..., InputStream]:  # noqa: N802
        """The class that opens a stream."""

    def query_devices(self) -> Sequence[Mapping[str, Any]]:
        """Return all devices: name, index, max_input_channels, default_samplerate."""


@dataclass(frozen=True, slots=True)
class Device:
    """An input device.

    Attributes:
        number: its index in PortAudio.
        name: its name in the system.
        channels: the largest number of channels that it records.
        rate: its preferred rate, in samples per second.
        default: whether it is used when no device is chosen.
    """

    number: int
    name: str
    channels: int
    rate: float
    default: bool


class Microphone(LiveSource):
    """A microphone as blocks of float32[n], mono, 16 kHz. Use `with`, and iterate.

    Another thread may call `stop`. When the device disappears, all audio that it sent is returned before
    MicrophoneError is raised.

    Args:
        device: number, name or part of the name of an input device; None is the system's default.
        backend: the module `sounddevice`, or an object with the same interface.
        patience: seconds without audio after which the device is considered lost.

    Raises:
        MicrophoneError: there is no such device, it cannot be opened, or sounddevice or PortAudio is missing.
    """

    def __init__(
        self, device: int | str | None = None, *, backend: Backend | None = None, patience: float = 5.0
    ) -> None:
        super().__init__()
        self._backend = backend or load_backend()
        self._patience = patience
        self._received = self._taken = 0  # samples; each is changed by only one thread
        self._lost = 0
        self._warned = False
        self._ended = False
        self.device = choose_device(list_devices(self._backend), device)
        self._stream, self._rate = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the device. Closing it again does nothing."""
        self._stopped = True
        # The driver of a device that has disappeared may never return; the caller must not wait for it.
        closing = threading.Thread(target=self._stream.close, name="legato-microphone", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    def __iter__(self) -> Iterator[Samples]:
        """Start the device and return its audio.

        Raises:
            MicrophoneError: the device cannot be started, or stopped sending.
        """
        resampler = Resampler(self._rate, self.device.name)
        try:
            self._stream.start()
        except self._backend.PortAudioError as error:
            raise self._error(f"cannot be started ({_reason(error)})") from None
        while True:
            try:
                block = self._next(self._patience)
            except Empty:
                raise self._error(
                    f"sent nothing for {self._patience:g} s. It is unplugged, or the system has muted it"
                ) from None
            if block is None:
                if self._ended and not self._stopped:
                    raise self._error("stopped sending: it was unplugged, or another program took it")
                break
            self._taken += len(block)
            self._warn_of_loss()
            if len(block := resampler.process(block)):
                yield block
        if len(rest := resampler.finish()):
            yield rest

    def _open(self) -> tuple[InputStream, int]:
        """Open the device at 16 kHz mono, else at its preferred rate, else also with its own number of channels."""
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
                        callback=self._receive,
                        finished_callback=self._finished,
                    )
            except (self._backend.PortAudioError, ValueError) as error:
                reasons.append(_reason(error))
                continue
            return stream, rate
        raise self._error(
            f"cannot be opened ({reasons[-1]}). Close other programs that use it, and allow this one to use it"
        )

    def _receive(self, data: NDArray[np.float32], frames: int, _time: object, status: object) -> None:
        """Accept a block. PortAudio's thread calls this, so it must not wait."""
        if getattr(status, "input_overflow", False):
            self._lost += 1
        if self._stopped:
            return
        if self._received - self._taken > _BUFFER_SECONDS * self._rate:
            self._lost += 1
            return
        self._received += frames
        # A copy, because PortAudio reuses its buffer. A NaN from a driver would stop the recognizer.
        clean = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
        self._queue.put(np.clip(clean, -1, 1).mean(axis=1, dtype=np.float32))

    def _finished(self) -> None:
        self._ended = True
        self._queue.put(None)

    def _warn_of_loss(self) -> None:
        if self._lost and not self._warned:
            self._warned = True
            logger.warning(
                "Some audio of %s was lost: this machine is too slow to process it in time.", self.device.name
            )

    def _error(self, what: str) -> MicrophoneError:
        return MicrophoneError(
            f"microphone {self.device.number} ({self.device.name}): {what}. "
            "'legato listen --list-devices' lists the microphones."
        )


def load_backend() -> Backend:
    """Import and return sounddevice.

    Raises:
        MicrophoneError: sounddevice or PortAudio is not installed or does not work.
    """
    try:
        with _quiet():
            import sounddevice  # noqa: PLC0415 - optional
    except ImportError:
        raise MicrophoneError(
            f"the microphone needs the package sounddevice. Install it with: {install_command('mic')}"
        ) from None
    except OSError as error:
        raise MicrophoneError(
            f"sounddevice cannot be used: {error}. Install PortAudio (Debian and Ubuntu: apt install libportaudio2; "
            "Fedora: dnf install portaudio; macOS and Windows: the package brings it)."
        ) from None
    except Exception as error:  # sounddevice.PortAudioError: the sound system does not respond
        raise MicrophoneError(f"the sound system does not work: {_reason(error)}.") from None
    return cast(Backend, sounddevice)


def list_devices(backend: Backend | None = None) -> list[Device]:
    """Return all input devices; the list may be empty.

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
    """Return the device with this number, name or part of a name.

    Raises:
        MicrophoneError: no device matches, or more than one.
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
        raise MicrophoneError(f"{wanted!r} matches several microphones: {several}. Give the number.")
    return fitting[0]


def _default_number(backend: Backend) -> int | None:
    """Return the number of the system's default input device, if it has one."""
    device = getattr(getattr(backend, "default", None), "device", None)
    try:
        number = device[0] if device is not None else None
    except (TypeError, IndexError):
        number = device
    return number if isinstance(number, int) and number >= 0 else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what sound libraries write to standard error: Legato reports errors itself."""
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
