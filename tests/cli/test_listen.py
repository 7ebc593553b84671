"""`legato listen`, and the microphone against sounddevice's interface."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from legato.audio.microphone import Microphone, list_devices, load_backend
from legato.audio.source import read_audio
from legato.cli.screen import settled
from legato.errors import MicrophoneError
from legato.installation import install_command
from tests.support.command import TIMEOUT, failed, legato, struck
from tests.support.full_disk import full_disk
from tests.support.numbers_model import NUMBERS_MODEL
from tests.support.paths import REFERENCES

FOX = REFERENCES / "audio" / "fox16k.wav"


class FakeBackend:
    """Has the shape of the module `sounddevice`: its streams play samples, then end as a lost device does."""

    class PortAudioError(Exception):
        pass

    def __init__(self, samples: NDArray[np.float32], rates: Sequence[int] = (16000,), ends: bool = True) -> None:
        self.samples, self.rates, self.ends = samples, rates, ends
        self.devices = [
            {"index": 0, "name": "Speakers", "max_input_channels": 0, "default_samplerate": 48000.0},
            {"index": 3, "name": "USB Mic", "max_input_channels": 2, "default_samplerate": 48000.0},
            {"index": 5, "name": "Built-in Mic", "max_input_channels": 1, "default_samplerate": 44100.0},
        ]

    def query_devices(self) -> Sequence[Mapping[str, Any]]:
        return self.devices

    def InputStream(  # noqa: N802
        self,
        *,
        samplerate: int,
        blocksize: int,
        device: int,
        channels: int,
        dtype: str,
        callback: Callable[..., None],
        finished_callback: Callable[[], None],
    ) -> "FakeStream":
        if samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate", -9997)
        assert dtype == "float32"
        return FakeStream(self, blocksize, channels, callback, finished_callback)


class FakeStream:
    def __init__(
        self,
        backend: FakeBackend,
        size: int,
        channels: int,
        callback: Callable[..., None],
        finished: Callable[[], None],
    ) -> None:
        self.backend, self.size, self.channels, self.callback, self.finished = (
            backend,
            size,
            channels,
            callback,
            finished,
        )

    def start(self) -> None:
        threading.Thread(target=self.play, daemon=True).start()

    def play(self) -> None:
        buffer = np.empty((self.size, self.channels), np.float32)
        for start in range(0, len(self.backend.samples), self.size):
            piece = self.backend.samples[start : start + self.size]
            buffer[: len(piece)] = piece[:, None]
            self.callback(buffer[: len(piece)], len(piece), None, None)
            buffer[:] = 9  # as PortAudio does, the buffer is used again
        if self.backend.ends:
            self.finished()

    def close(self, ignore_errors: bool = True) -> None:
        pass


def test_a_microphone_gives_what_was_said_and_then_why_it_ended(fox: NDArray[np.float32]) -> None:
    heard: list[NDArray[np.float32]] = []
    with Microphone("usb", backend=FakeBackend(fox), patience=TIMEOUT) as microphone:
        assert (microphone.device.number, microphone.device.default) == (3, True)
        with pytest.raises(MicrophoneError, match="stopped sending"):
            heard.extend(microphone)
    np.testing.assert_array_equal(np.concatenate(heard), fox)


def test_a_microphone_that_falls_silent_is_given_up(fox: NDArray[np.float32]) -> None:
    with (
        Microphone(backend=FakeBackend(fox, ends=False), patience=0.2) as microphone,
        pytest.raises(MicrophoneError, match="sent nothing"),
    ):
        for _ in microphone:
            pass


def test_a_stopped_microphone_ends_without_an_error(fox: NDArray[np.float32]) -> None:
    with Microphone(backend=FakeBackend(fox, ends=False), patience=TIMEOUT) as microphone:
        blocks = iter(microphone)
        next(blocks)
        microphone.stop()
        assert sum(len(block) for block in blocks) <= len(fox)


def test_a_microphone_of_another_rate_is_resampled(fox: NDArray[np.float32]) -> None:
    heard: list[NDArray[np.float32]] = []
    with (
        Microphone(5, backend=FakeBackend(fox, rates=(44100,)), patience=TIMEOUT) as microphone,
        pytest.raises(MicrophoneError, match="stopped sending"),
    ):
        heard.extend(microphone)
    expected = len(fox) * 16000 / 44100
    assert 0.9 * expected < sum(len(block) for block in heard) <= expected + 1


def test_which_microphone(fox: NDArray[np.float32]) -> None:
    backend = FakeBackend(fox)
    assert [device.number for device in list_devices(backend)] == [3, 5]
    for wanted, words in (("mic", "several"), ("phone", "no microphone 'phone'"), ("0", "no microphone '0'")):
        with pytest.raises(MicrophoneError, match=words):
            Microphone(wanted, backend=backend)
    with pytest.raises(MicrophoneError, match="Invalid sample rate"):
        Microphone(backend=FakeBackend(fox, rates=(8000,)))
    backend.devices = backend.devices[:1]
    with pytest.raises(MicrophoneError, match="there is no microphone"):
        Microphone(backend=backend)


def test_a_file_is_heard_as_if_it_were_spoken(tmp_path: Path) -> None:
    audio, text = tmp_path / "heard.wav", tmp_path / "text.txt"
    options = ("--input", FOX, "--save-audio", audio, "--save-transcript", text)
    result = legato("listen", *options, home=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == legato("transcribe", FOX, home=tmp_path).stdout == text.read_bytes()
    assert np.abs(read_audio(audio) - read_audio(FOX)).max() < 1e-4
    assert "there already" in failed(legato("listen", *options, home=tmp_path))


def test_a_damaged_file_is_heard_up_to_its_damage(tmp_path: Path) -> None:
    cut = tmp_path / "cut.flac"
    cut.write_bytes((REFERENCES / "audio" / "de-kerstin-2316.flac").read_bytes()[:40_000])
    result = legato("listen", "--input", cut, home=tmp_path)
    transcribed = legato("transcribe", cut, home=tmp_path)
    assert (failed(result, 3), result.stdout) == (failed(transcribed, 3), transcribed.stdout)
    assert result.stdout.strip()
    cut.write_bytes(b"fLaC")
    assert "before its audio starts" in failed(legato("listen", "--input", cut, home=tmp_path))


def test_ctrl_c_ends_the_listening_with_what_was_heard(tmp_path: Path) -> None:
    audio, text = tmp_path / "heard.wav", tmp_path / "text.txt"
    options = ("--input", FOX, "--save-audio", audio, "--save-transcript", text)
    result = struck("SIGINT", FOX.name, 20, "listen", *options, home=tmp_path)
    assert failed(result, 0)
    heard = read_audio(audio)
    assert 0 < len(heard) < len(read_audio(FOX))
    np.testing.assert_allclose(heard, read_audio(FOX)[: len(heard)], atol=1e-4)
    words, whole = result.stdout.split(), legato("transcribe", FOX, home=tmp_path).stdout.split()
    assert 1 < len(words) <= len(whole)
    assert words[:-1] == whole[: len(words) - 1]  # the last one may have been cut
    assert result.stdout == text.read_bytes()


def test_a_pipe_is_heard_and_saved_as_json(tmp_path: Path) -> None:
    data = FOX.read_bytes()[44:]
    text = tmp_path / "text.json"
    result = legato("listen", "--input", "-", "--save-transcript", text, home=tmp_path, stdin=data)
    assert result.returncode == 0, result.stderr
    assert json.loads(text.read_text())["text"] == result.stdout.decode().strip()


def test_phrases_have_their_say(tmp_path: Path) -> None:
    data, phrase = FOX.read_bytes()[44:], ("--phrase", "three=10")  # nobody counts there, so little speaks against it
    listen, model = ("listen", "--input", "-"), ("--model", NUMBERS_MODEL)
    result = legato(*listen, *model, *phrase, home=tmp_path, stdin=data)
    assert result.stdout == legato("transcribe", "-", *model, *phrase, home=tmp_path, stdin=data).stdout
    assert result.stdout != legato(*listen, *model, home=tmp_path, stdin=data).stdout
    assert "cannot spell" in failed(legato(*listen, *model, "--phrase", "Łódź", home=tmp_path, stdin=data))


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_segments_are_shown_and_saved(tmp_path: Path, ending: str) -> None:
    data = (FOX.read_bytes()[44:] + bytes(64000)) * 2
    text = tmp_path / f"text.{ending}"
    saved = ("--save-transcript", text)
    result = legato("listen", "--input", "-", "--endpoint", *saved, home=tmp_path, stdin=data)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.decode().splitlines()
    assert len(lines) == 2
    assert result.stdout == legato("transcribe", "-", "--endpoint", home=tmp_path, stdin=data).stdout
    if ending == "txt":
        assert text.read_text().splitlines() == lines
    else:
        assert [segment["text"] for segment in json.loads(text.read_text())["segments"]] == lines


def test_a_disk_that_is_full_does_not_end_the_listening(tmp_path: Path) -> None:
    text = tmp_path / "full.txt"
    with full_disk(20):
        result = legato("listen", "--input", "-", "--save-transcript", text, home=tmp_path, stdin=FOX.read_bytes()[44:])
    assert failed(result).count("full.txt: cannot be written") == 1
    assert result.stdout == legato("transcribe", FOX, home=tmp_path).stdout
    assert text.read_bytes() == result.stdout[:20]


@pytest.mark.parametrize(("option", "name"), [("transcript", "t.txt"), ("transcript", "t.json"), ("audio", "a.wav")])
def test_saved_files_replace_links_and_refuse_pipes(tmp_path: Path, option: str, name: str) -> None:
    victim, saved = tmp_path / "victim", tmp_path / name
    victim.write_text("untouched")
    command = ("listen", "--input", "-", f"--save-{option}", saved, "--overwrite")
    for _ in range(2):  # a link, then a file of its own
        if not saved.exists():
            saved.symlink_to(victim)
        result = legato(*command, home=tmp_path, stdin=FOX.read_bytes()[44:])
        assert result.returncode == 0, result.stderr
        assert saved.stat().st_size > 20
        assert not saved.is_symlink()
    assert victim.read_text() == "untouched"
    saved.unlink()
    os.mkfifo(saved)
    message = failed(legato(*command, home=tmp_path, stdin=FOX.read_bytes()[44:]))
    assert f"{saved}: cannot be written: it is not a regular file. Choose another place, or remove it" in message


def test_what_is_refused(tmp_path: Path) -> None:
    for wrong in (("listen", "--input", tmp_path / "none.wav"), ("transcribe", FOX, "--lm", tmp_path / "none.arpa")):
        message = failed(legato(*wrong, home=tmp_path))
        assert "no such file" in message
        assert "Model:" not in message  # it is told before the model is loaded
    assert "0 samples" in failed(legato("listen", "--input", "-", home=tmp_path))
    message = failed(legato("listen", "--input", "-", "--save-transcript", tmp_path / "text.doc", home=tmp_path))
    assert ".doc is not the ending of a format; those are .txt, .json," in message
    assert not (tmp_path / "text.doc").exists()


def test_without_sounddevice(tmp_path: Path) -> None:
    code = "import sys; sys.modules['sounddevice'] = None; from legato.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "listen", "--list-devices"], capture_output=True, check=False, timeout=TIMEOUT
    )
    assert install_command("mic") in failed(result)


def test_the_devices_of_this_machine(tmp_path: Path) -> None:
    try:
        devices = list_devices(load_backend())
    except MicrophoneError as error:
        message = failed(legato("listen", "--list-devices", home=tmp_path))
        assert str(error) in message
        pytest.skip(str(error))
    shown = legato("listen", "--list-devices", home=tmp_path).stdout.decode()
    assert len(shown.splitlines()) == len(devices)
    if not devices:
        assert "there is no microphone" in failed(legato("listen", home=tmp_path))


def test_whole_sentences_settle() -> None:
    assert settled("One two. Three", 100) == len("One two. ")
    assert settled("One two.", 100) == 0  # the last sentence may still grow
    assert settled("今日は。明日", 100) == len("今日は。")
    assert settled("a b c d e f", 4) == 4
