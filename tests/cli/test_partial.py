"""Audio of which only a part could be read: exit code 3, and a state in JSON, in the summary and in the journal."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.command import TIMEOUT, environment, failed, legato
from tests.support.numbers_model import NUMBERS_MODEL
from tests.support.paths import REFERENCES

FOX = REFERENCES / "audio" / "fox16k.wav"
MODEL = ("--model", NUMBERS_MODEL)


def cut(path: Path) -> Path:
    path.write_bytes(FOX.read_bytes()[:60000])
    return path


def test_one_file(tmp_path: Path) -> None:
    path = cut(tmp_path / "cut.wav")
    for command in ((path,), (path, "--channels", "split"), (path, FOX)):
        result = legato("transcribe", *MODEL, "-f", "json", *command, home=tmp_path)
        assert failed(result, 3).count("cut off at 1.87 s") == 1
        first = json.loads(result.stdout.splitlines()[0] if FOX in command else result.stdout)
        assert first["partial"] is True
    assert json.loads(result.stdout.splitlines()[1]).get("partial") is None
    lines = legato("transcribe", *MODEL, "-f", "jsonl", path, home=tmp_path).stdout.splitlines()
    assert [json.loads(line).get("partial") for line in lines] == [None] * (len(lines) - 1) + [True]
    failed(legato("transcribe", *MODEL, path, "missing.wav", home=tmp_path))  # worse comes first


def test_a_message_has_a_line_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "legato", "transcribe", "--model", str(NUMBERS_MODEL), "-"]
    given = (REFERENCES / "audio" / "en-kathleen-a0419.flac").read_bytes()[:30_000]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    result = subprocess.run(command, env=environment(tmp_path), input=given, **streams, timeout=TIMEOUT, check=False)
    text, message = result.stdout.decode().splitlines()
    assert text
    assert message.startswith("legato: standard input: the file is ")


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(FOX, folder / "whole.wav")
    path = cut(folder / "cut.wav")
    message = failed(legato("transcribe", *MODEL, "-f", "json", folder, home=tmp_path), 3)
    assert "2 done (5 s of audio), 1 of them only in part" in message
    assert json.loads((folder / "cut.json").read_text())["partial"] is True
    entries = [json.loads(line) for line in (folder / ".legato-results.jsonl").read_text().splitlines() if line]
    assert {entry["result"]: entry.get("partial") for entry in entries} == {"whole.json": None, "cut.json": True}
    # It stays so until the file is complete.
    again = failed(legato("transcribe", *MODEL, "-f", "json", folder, home=tmp_path), 3)
    assert "2 had a result already (--overwrite does them again), 1 of these only in part" in again
    assert f"of an earlier run, only in part: {path}" in again
    shutil.copy(FOX, path)
    done = legato("transcribe", *MODEL, "-f", "json", folder, home=tmp_path)
    assert done.returncode == 0
    assert "1 done" in done.stderr.decode()
    assert "partial" not in json.loads((folder / "cut.json").read_text())


def test_what_folders_pass_over(tmp_path: Path) -> None:
    folder, other = tmp_path / "in", tmp_path / "other"
    (folder / "deep").mkdir(parents=True)
    other.mkdir()
    for path in (folder / "a.WEBA", folder / "b.mpga", folder / "deep" / "c.3gpp", other / "d.awb"):
        shutil.copy(FOX, path)
    for path in (folder / "notes.pdf", folder / "deep" / "image.jpg", folder / "plain", folder / ".hidden"):
        path.write_text("no audio")
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "there").symlink_to(other)
    (folder / "twice").symlink_to(other)
    command = ("transcribe", *MODEL, folder, "--recursive")
    for done in ("4 done", "4 had a result already"):
        result = legato(*command, home=tmp_path)
        assert result.returncode == 0
        message = result.stderr.decode()
        assert done in message
        assert "3 other files passed over because of the ending (" in message
    assert sorted(path.name for path in other.iterdir() if path.suffix == ".txt") == ["d.txt"]
    only = tmp_path / "only"
    only.mkdir()
    (only / "notes.pdf").touch()
    assert "no audio or video file directly in it" in (message := failed(legato("transcribe", only, home=tmp_path)))
    assert "(1 other file passed over because of the ending (.pdf))" in message
