"""Folders, addresses and interruptions of `legato transcribe`, through the command."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from legato.audio.source import read_audio
from tests.support.command import TIMEOUT, environment, failed, legato, struck
from tests.support.paths import REFERENCES
from tests.support.sounds import encode

FOX = REFERENCES / "audio" / "fox16k.wav"


def tree(root: Path) -> Path:
    (root / "sub").mkdir(parents=True)
    for name in ("a.wav", "b.wav", "sub/c.wav"):
        shutil.copy(FOX, root / name)
    (root / "notes.txt").write_text("no audio")
    return root


def repeated(path: Path, times: int) -> Path:
    """Write the clip several times in a row."""
    with wave.open(str(path), "wb") as file, wave.open(str(FOX), "rb") as fox:
        file.setparams(fox.getparams())
        samples = fox.readframes(fox.getnframes())
        for _ in range(times):
            file.writeframes(samples)
    return path


def test_inner_folders_are_counted(tmp_path: Path) -> None:
    result = legato("transcribe", tree(tmp_path / "in"), "--output", tmp_path / "out", home=tmp_path)
    message = result.stderr.decode()
    assert "2 done (" in message
    assert "1 folder inside not read (--recursive reads them)" in message
    assert "beside" not in message


def test_a_folder_is_done_once_and_failures_are_told(tmp_path: Path) -> None:
    root = tree(tmp_path / "in")
    (root / "bad.wav").write_text("no sound")
    command = ("transcribe", root, "--recursive", "--jobs", "2")
    message = failed(legato(*command, home=tmp_path))
    assert "3 done" in message
    assert "1 failed" in message
    assert "bad.wav: not an audio file" in message
    assert "each result is beside its audio" in message
    assert "inside not read" not in message
    alone = legato("transcribe", FOX, home=tmp_path).stdout
    results = [root / "a.txt", root / "b.txt", root / "sub" / "c.txt"]
    assert [path.read_bytes() for path in results] == [alone] * 3
    assert not list(root.rglob("*.part"))
    # A result that was edited is not done again; what is missing is.
    results[0].write_text("kept")
    results[2].unlink()
    (root / "bad.wav").unlink()
    again = legato(*command, home=tmp_path)
    assert again.returncode == 0
    assert "1 done" in again.stderr.decode()
    assert "2 had a result already" in again.stderr.decode()
    assert (results[0].read_text(), results[2].read_bytes()) == ("kept", alone)
    assert "3 done" in legato(*command, "--overwrite", home=tmp_path).stderr.decode()
    assert results[0].read_bytes() == alone


def test_only_results_that_legato_wrote_count_as_done(tmp_path: Path) -> None:
    root = tree(tmp_path / "in")
    (root / "a.txt").write_text("The user's own transcript.")
    command = ("transcribe", root)
    message = failed(legato(*command, home=tmp_path))
    assert "1 done" in message
    assert f"{root / 'a.wav'}: what has the name of its result was not written by Legato" in message
    assert (root / "a.txt").read_text() == "The user's own transcript."
    assert "1 had a result already" in failed(legato(*command, home=tmp_path))
    assert legato(*command, "--overwrite", home=tmp_path).returncode == 0
    assert (root / "a.txt").read_bytes() == (root / "b.txt").read_bytes()
    assert "2 had a result already" in legato(*command, home=tmp_path).stderr.decode()
    # Nor does the result of another file with the same name.
    other, out = tmp_path / "other", tmp_path / "out"
    other.mkdir()
    repeated(other / "a.wav", 2)
    assert legato(*command, "--output", out, home=tmp_path).returncode == 0
    kept = (out / "a.txt").read_bytes()
    assert "from other audio" in failed(legato("transcribe", other, "--output", out, home=tmp_path))
    assert (out / "a.txt").read_bytes() == kept


def test_other_audio_or_other_options_are_done_again(tmp_path: Path) -> None:
    root = tree(tmp_path / "in")

    def run(*options: str) -> str:
        result = legato("transcribe", root, *options, home=tmp_path)
        assert result.returncode == 0, result.stderr
        return result.stderr.decode()

    assert "2 done" in run("--format", "json")
    before = json.loads((root / "a.json").read_text())
    assert "2 had a result already" in run("--format", "json")
    assert "2 done" in run("--format", "txt")  # other files
    assert "2 had a result already" in run("--format", "json")
    repeated(root / "a.wav", 2)
    message = run("--format", "json")
    assert "1 done" in message
    assert "1 of them again" in message
    after = json.loads((root / "a.json").read_text())
    assert after["duration"] > 1.9 * before["duration"]
    assert "2 of them again" in run("--format", "json", "--language", "de")
    # A folder that is moved with its audio and results is done all the same.
    moved = root.rename(tmp_path / "moved")
    again = legato("transcribe", moved, "--format", "json", "--language", "de", home=tmp_path)
    assert "2 had a result already" in again.stderr.decode()


def test_a_result_that_never_got_its_name_is_done_again(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("not on Windows")
    root = tree(tmp_path / "in")
    command = ("transcribe", root, "--jobs", "1")
    code = """
import os, signal
from pathlib import Path
replace = Path.replace
def struck(self, target):
    if Path(target).name == "a.txt":
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = struck
from legato.cli import main
main()
"""
    arguments = [sys.executable, "-c", code, *map(str, command)]

    def killed() -> None:
        if sys.platform == "win32":
            pytest.skip("not on Windows")
        process = subprocess.run(arguments, env=environment(tmp_path), check=False, timeout=TIMEOUT)
        assert process.returncode == -signal.SIGKILL

    killed()
    assert [path.name for path in root.glob("*.txt")] == ["notes.txt"]
    assert "2 done" in legato(*command, home=tmp_path).stderr.decode()
    # The same when an older result has the name.
    older = (root / "a.txt").read_bytes()
    repeated(root / "a.wav", 2)
    killed()
    assert (root / "a.txt").read_bytes() == older
    assert "1 done" in legato(*command, home=tmp_path).stderr.decode()
    assert (root / "a.txt").read_bytes() != older
    # A line of the journal that was cut off is no line, and does no harm to the next.
    journal = root / ".legato-results.jsonl"
    journal.write_bytes(journal.read_bytes() + b'\n{"result": "b.t')
    repeated(root / "b.wav", 2)
    assert "1 done" in legato(*command, home=tmp_path).stderr.decode()
    assert "2 had a result already" in legato(*command, home=tmp_path).stderr.decode()


def test_results_in_a_folder_of_their_own(tmp_path: Path) -> None:
    root, out = tree(tmp_path / "in"), tmp_path / "out"
    result = legato("transcribe", root, "--recursive", "--output-dir", out, "--format", "json", home=tmp_path)
    assert result.returncode == 0
    assert result.stdout == b""
    assert {str(path.relative_to(out)) for path in out.rglob("*.json")} == {"a.json", "b.json", "sub/c.json"}
    assert not list(root.rglob("*.json"))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no audio or video file" in failed(legato("transcribe", empty, home=tmp_path))


def test_killed_and_run_again_it_does_the_rest(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("not on Windows")
    root = tmp_path / "in"
    root.mkdir()
    for number in range(6):
        repeated(root / f"{number}.wav", 4)
    command = ("transcribe", root, "--jobs", "1")
    assert struck("SIGKILL", "4.wav", 2, *command, home=tmp_path).returncode == -signal.SIGKILL
    before = {path.name: path.stat().st_mtime_ns for path in root.glob("*.txt")}
    assert set(before) == {"0.txt", "1.txt", "2.txt", "3.txt"}
    again = legato(*command, home=tmp_path).stderr.decode()
    assert "2 done" in again
    assert "4 had a result already" in again
    assert {name: (root / name).stat().st_mtime_ns for name in before} == before
    assert len({path.read_bytes() for path in root.glob("*.txt")}) == 1
    assert len(list(root.glob("*.txt"))) == 6


def test_a_limit_of_the_disk_is_told_and_leaves_no_half_result(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("not on Windows")
    import resource

    root = tree(tmp_path / "in")
    result = subprocess.run(
        [sys.executable, "-m", "legato", "transcribe", str(root), "--format", "json"],
        env=environment(tmp_path, PYTHONDONTWRITEBYTECODE="1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20)),
        capture_output=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert "cannot be written" in failed(result)
    assert sorted(path.name for path in root.iterdir()) == ["a.wav", "b.wav", "notes.txt", "sub"]


def test_ctrl_c_in_one_file_keeps_what_was_heard(tmp_path: Path) -> None:
    long = repeated(tmp_path / "long.wav", 30)
    command = ("transcribe", long, "--output", tmp_path / "out")
    message = failed(struck("SIGINT", "long.wav", 20, *command, home=tmp_path), 130)
    assert "interrupted at" in message
    assert not (tmp_path / "out" / "long.txt").exists()
    assert (tmp_path / "out" / "long.partial.txt").read_text().strip()


def test_ctrl_c_in_a_folder_keeps_what_was_done(tmp_path: Path) -> None:
    root = tree(tmp_path / "in")
    repeated(root / "b.wav", 30)
    command = ("transcribe", root, "--recursive", "--jobs", "1")
    message = failed(struck("SIGINT", "b.wav", 2, *command, home=tmp_path), 130)
    assert "1 done" in message
    assert "2 not done (interrupted); the same command does the rest" in message
    assert {path.name for path in root.rglob("*.txt")} == {"notes.txt", "a.txt"}
    assert not list(root.rglob("*.part"))
    again = legato(*command, home=tmp_path)
    assert again.returncode == 0
    assert "2 done" in again.stderr.decode()
    assert "1 had a result already" in again.stderr.decode()


GROWS = "open(self.name, 'ab').write(bytes(320000))"


def test_a_file_that_grows_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = repeated(tmp_path / "grows.wav", 20)
    result = struck(GROWS, "grows.wav", 3, "transcribe", path, home=tmp_path)
    assert result.returncode == 3
    assert result.stdout.strip()
    assert f"{path}: the file changed while it was read" in result.stderr.decode()
    # Among many it is left for the next run, by when it may be complete.
    other = repeated(tmp_path / "grows too.wav", 4)
    message = failed(struck(GROWS, "grows too.wav", 2, "transcribe", tmp_path, home=tmp_path))
    assert "1 done" in message
    assert f"failed: {other}: the file changed while it was read" in message
    assert not other.with_suffix(".txt").exists()
    assert "1 done" in legato("transcribe", tmp_path, home=tmp_path).stderr.decode()


def test_a_file_that_is_cut_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = repeated(tmp_path / "shrinks.wav", 20)
    result = struck("os.truncate(self.name, 44)", "shrinks.wav", 3, "transcribe", path, home=tmp_path)
    assert result.stdout.strip()
    assert f"{path}: the file is cut off" in result.stderr.decode()
    assert f"{path}: the file changed while it was read" in result.stderr.decode()


def test_audio_that_was_replaced_while_it_was_read_is_done_again(tmp_path: Path) -> None:
    root = tree(tmp_path / "in")
    other = repeated(tmp_path / "other.wav", 4)
    replaced = f"os.replace({str(other)!r}, self.name)"
    assert struck(replaced, "b.wav", 1, "transcribe", root, home=tmp_path).returncode == 0
    before = (root / "b.txt").read_text()
    assert "1 of them again" in legato("transcribe", root, home=tmp_path).stderr.decode()
    assert (root / "b.txt").read_text() != before


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full is a file of Linux")
@pytest.mark.parametrize(
    "command",
    [("transcribe", FOX), ("transcribe", "--format", "jsonl", FOX), ("transcribe", FOX, FOX), ("transcribe", "-"),
     ("listen", "--input", "-"), ("models",)],
)  # fmt: skip
def test_standard_output_without_room(tmp_path: Path, command: tuple[str | Path, ...]) -> None:
    with FULL.open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "legato", *map(str, command)],
            env=environment(tmp_path), stdout=full, stderr=subprocess.PIPE, input=FOX.read_bytes()[44:],
            check=False, timeout=TIMEOUT,
        )  # fmt: skip
    message = failed(result)
    assert message.count("cannot be written: No space left on device") == 1


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full is a file of Linux")
def test_a_screen_without_room_does_not_end_the_listening(tmp_path: Path) -> None:
    text, audio = tmp_path / "text.txt", tmp_path / "audio.wav"
    command = ("listen", "--input", "-", "--save-transcript", str(text), "--save-audio", str(audio))
    with FULL.open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "legato", *command],
            env=environment(tmp_path), stdout=full, stderr=subprocess.PIPE, input=FOX.read_bytes()[44:],
            check=False, timeout=TIMEOUT,
        )  # fmt: skip
    assert "standard output: cannot be written" in failed(result)
    assert text.read_bytes() == legato("transcribe", FOX, home=tmp_path).stdout
    assert audio.stat().st_size == FOX.stat().st_size


@contextmanager
def served(data: bytes, promised: int) -> Iterator[str]:
    """An HTTP server that promises so many bytes and breaks off after `data`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/fox.wav"
    finally:
        server.shutdown()
        server.server_close()


def test_an_address(tmp_path: Path) -> None:
    data = FOX.read_bytes()
    with served(data, len(data)) as url:
        result = legato("transcribe", url, home=tmp_path)
    assert result.stdout == legato("transcribe", FOX, home=tmp_path).stdout
    assert result.returncode == 0


def test_an_address_that_breaks_off_gives_what_came(tmp_path: Path) -> None:
    data = FOX.read_bytes()
    with served(data[: len(data) // 2], len(data)) as url:
        result = legato("transcribe", url, home=tmp_path)
    assert "breaks off" in result.stderr.decode()
    assert result.stdout.strip()
    assert "cannot be opened" in failed(legato("transcribe", url, home=tmp_path))  # the server is gone


def test_channels_endpoints_and_several_formats_are_those_of_a_single_file(tmp_path: Path) -> None:
    fox, gap = read_audio(FOX), np.zeros(32000, np.float32)
    left, right = np.concatenate([fox, gap, fox, gap]), np.concatenate([gap, fox, gap, fox])
    (tmp_path / "calls").mkdir()
    call = encode(tmp_path / "calls" / "call.wav", np.stack([left, right], axis=1), 16000, "pcm_s16le")
    options = ("--channels", "split", "--endpoint", "--format", "json", "--format", "srt")
    assert legato("transcribe", call, *options, "--output", tmp_path / "one", home=tmp_path).returncode == 0
    assert legato("transcribe", tmp_path / "calls", *options, home=tmp_path).returncode == 0
    alone, many = (json.loads((tmp_path / name / "call.json").read_text()) for name in ("one", "calls"))
    parts = ("text", "start", "end", "speaker", "reason", "language")
    segments = [[segment[part] for part in parts] for segment in many["segments"]]
    assert segments == [[segment[part] for part in parts] for segment in alone["segments"]]
    assert {segment[3] for segment in segments} == {"channel 0", "channel 1"}
    assert len(segments) == 4
    assert (tmp_path / "calls" / "call.srt").read_text() == (tmp_path / "one" / "call.srt").read_text()
    # One of two results is missing: it is done again.
    (tmp_path / "calls" / "call.srt").unlink()
    assert "1 done" in legato("transcribe", tmp_path / "calls", *options, home=tmp_path).stderr.decode()
    assert (tmp_path / "calls" / "call.srt").exists()


def test_a_journal_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """A folder from somebody else must not make Legato write into another file, nor wait for a pipe."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    for name, make in (("link", lambda path: path.symlink_to(victim)), ("pipe", os.mkfifo)):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(FOX, folder / "fox.wav")
        make(folder / ".legato-results.jsonl")
        message = failed(legato("transcribe", folder, home=tmp_path))
        assert "it is a link to another place" in message or "it is not a regular file" in message
        assert "Choose another place, or remove it if it should not be there." in message
        assert not (folder / "fox.txt").exists()
    assert victim.read_text() == "untouched"
