"""What the world does to the command: signals, closed streams, terminals, folders of others."""

import json
import subprocess
import sys
import wave
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.test_cli import pcm, read_until
from tests.support.command import TIMEOUT, environment, failed, legato, stalled, struck
from tests.support.numbers_model import NUMBERS_MODEL, NUMBERS_SAMPLES
from tests.support.paths import REFERENCES

EN, HI = NUMBERS_SAMPLES / "en.flac", NUMBERS_SAMPLES / "hi.flac"
FOX = REFERENCES / "audio" / "fox16k.wav"
MODEL = ("--model", NUMBERS_MODEL)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and shells of POSIX")


def repeated(path: Path, times: int) -> Path:
    with wave.open(str(path), "wb") as file, wave.open(str(FOX), "rb") as fox:
        file.setparams(fox.getparams())
        file.writeframes(fox.readframes(fox.getnframes()) * times)
    return path


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_keeps_the_text_so_far(tmp_path: Path, name: str, code: int) -> None:
    long = repeated(tmp_path / "long.wav", 30)
    command = ("transcribe", long, "-f", "json", "--output", tmp_path / "out")
    message = failed(struck(name, "long.wav", 20, *command, home=tmp_path), code)
    assert "interrupted at" in message
    found = json.loads((tmp_path / "out" / "long.partial.json").read_text())
    assert found["text"]
    assert found["partial"] is True


@pytest.mark.parametrize("data", [FOX.read_bytes()[:60000], pcm()[:60000]], ids=["wav", "raw"])
def test_ctrl_c_ends_a_silent_pipe_with_the_text_so_far(tmp_path: Path, data: bytes) -> None:
    result = stalled(data, "transcribe", "-", home=tmp_path)
    message = failed(result, 130)
    assert "cut off" not in message
    assert len(result.stdout) > 10
    assert result.stdout == legato("transcribe", "-", home=tmp_path, stdin=data).stdout


@pytest.mark.parametrize("data", [b"", b"RIFF"])
def test_ctrl_c_ends_a_pipe_without_audio(tmp_path: Path, data: bytes) -> None:
    result = stalled(data, "transcribe", "-", home=tmp_path)
    assert "legato: interrupted" in failed(result, 130)
    assert result.stdout == b""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_in_a_folder_keeps_what_was_done(tmp_path: Path, name: str, code: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    repeated(folder / "a.wav", 1)
    repeated(folder / "b.wav", 30)
    message = failed(struck(name, "b.wav", 2, "transcribe", folder, "--jobs", "1", home=tmp_path), code)
    assert "1 done" in message
    assert "1 not done (interrupted); the same command does the rest" in message


def test_a_signal_ends_the_listening_with_the_text_so_far(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    result = struck("SIGTERM", FOX.name, 20, "listen", "--input", FOX, "--save-transcript", text, home=tmp_path)
    assert result.returncode == 0
    assert result.stdout == text.read_bytes()
    assert text.read_text().strip()


def test_a_hangup_that_is_ignored(tmp_path: Path) -> None:
    long = repeated(tmp_path / "long.wav", 4)
    from tests.support import command

    code = command._STRUCK.replace("signal.SIGHUP, signal.SIG_DFL", "signal.SIGHUP, signal.SIG_IGN")
    arguments = ["os.kill(os.getpid(), signal.SIGHUP)", "long.wav", "2", "transcribe", str(long)]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment(tmp_path), capture_output=True, check=False,
        timeout=TIMEOUT,
    )  # fmt: skip
    assert result.returncode == 0
    assert result.stdout.strip()


def shell(line: str, home: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run `legato` followed by a piece of a shell's line."""
    command = ["sh", "-c", f'exec "$0" -m legato {line}', sys.executable]
    return subprocess.run(
        command, env=environment(home, **more), capture_output=True, check=False, stdin=subprocess.DEVNULL,
        timeout=TIMEOUT,
    )  # fmt: skip


def test_closed_streams(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = shell(f"transcribe --model {NUMBERS_MODEL} {EN} -o {out} <&- >&- 2>&-", tmp_path)
    assert result.returncode == 0
    assert (out / "en.txt").read_text() == "ten four six hundred zero\n"
    result = shell(f"transcribe --model {NUMBERS_MODEL} {EN} >&-", tmp_path)
    assert "standard output: cannot be written: it is closed" in failed(result)
    assert "standard input is closed" in failed(shell("transcribe - <&-", tmp_path))
    assert shell(f"transcribe --model {NUMBERS_MODEL} {EN} 2>&-", tmp_path).stdout == b"ten four six hundred zero\n"
    assert "it is closed" in failed(shell("models >&-", tmp_path))
    assert "it is closed" in failed(shell("transcribe --help >&-", tmp_path))


def test_empty_names_are_errors(tmp_path: Path) -> None:
    for arguments in (("",), (EN, "--output", ""), (EN, "--model", "")):
        assert "is empty" in failed(legato("transcribe", *MODEL, *arguments, home=tmp_path, cwd=tmp_path))
    assert list(tmp_path.glob("*.txt")) == []


def test_a_terminal_that_is_not_utf8(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("not on Windows")
    import os
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "legato", "transcribe", *map(str, MODEL), str(HI)],
        env=environment(tmp_path, PYTHONIOENCODING="ascii"), stdout=theirs, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(theirs)
    _, message = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, message
    assert b"?" in read_until(ours, lambda _: False)


def test_the_detected_language_is_told_on_a_terminal(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("not on Windows")
    import os
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "legato", "transcribe", *map(str, MODEL), str(EN)]
    process = subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    text, _ = process.communicate(timeout=TIMEOUT)
    assert text == b"ten four six hundred zero\n"
    assert b"en.flac: en-US (detected)" in read_until(ours, lambda _: False)


def test_a_cache_that_cannot_be_entered(tmp_path: Path) -> None:
    result = legato("transcribe", EN, home=tmp_path, LEGATO_HOME=str(tmp_path / ("x" * 300)))
    assert result.returncode == 0
    assert "downloaded models are not available" in result.stderr.decode()
    assert "Model: embedded" in result.stderr.decode()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", "needs the package socksio"),
        ("SSL_CERT_FILE", "/nowhere/certificates", "The certificates cannot be read: No such file or directory"),
    ],
)
def test_settings_of_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    if name == "ALL_PROXY" and find_spec("socksio") is not None:
        pytest.skip("socksio is installed")
    monkeypatch.setenv(name, value)
    assert words in failed(legato("models", "download", "nemotron-3.5-int8", home=tmp_path))
