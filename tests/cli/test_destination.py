"""`--output`: a folder, a file or standard output; what cannot be written is known before the work."""

import os
import shutil
from pathlib import Path

import pytest
import srt

from tests.support.command import failed, legato
from tests.support.numbers_model import NUMBERS_MODEL, NUMBERS_SAMPLES
from tests.support.paths import REFERENCES

EN = NUMBERS_SAMPLES / "en.flac"
FOX = REFERENCES / "audio" / "fox16k.wav"
MODEL = ("--model", NUMBERS_MODEL)


def test_a_file_whose_ending_names_the_format(tmp_path: Path) -> None:
    film = tmp_path / "new" / "film.SRT"
    result = legato("transcribe", *MODEL, EN, "-o", film, home=tmp_path)
    assert (result.returncode, result.stdout) == (0, b"")
    assert " ".join(each.content for each in srt.parse(film.read_text())) == "ten four six hundred zero"
    # A format that is given wins over the ending, and a folder stays one.
    assert legato("transcribe", *MODEL, EN, "-o", film, "-f", "txt", home=tmp_path).returncode == 0
    assert film.read_text() == "ten four six hundred zero\n"
    (tmp_path / "folder.txt").mkdir()
    assert legato("transcribe", *MODEL, EN, "-o", tmp_path / "folder.txt", home=tmp_path).returncode == 0
    assert (tmp_path / "folder.txt" / "en.txt").exists()


@pytest.mark.parametrize(
    ("names", "output"), [(["talk.txt"], "talk.txt"), (["en.flac", "talk.txt"], "."), (["en.flac"], "en.txt")]
)
def test_an_input_is_not_replaced_by_its_result(tmp_path: Path, names: list[str], output: str) -> None:
    """Audio may have the ending of a format."""
    shutil.copy(EN, tmp_path / "talk.txt")
    shutil.copy(EN, tmp_path / "en.flac")
    (tmp_path / "en.txt").symlink_to("en.flac")
    error = failed(legato("transcribe", *MODEL, *names, "-o", output, home=tmp_path, cwd=tmp_path))
    assert "this file is read. Give its result another name" in error
    assert (tmp_path / "talk.txt").read_bytes() == (tmp_path / "en.flac").read_bytes() == EN.read_bytes()


@pytest.mark.parametrize("output", ["talks.v2/", "talks", "there.v2"])
def test_a_folder_has_no_ending_or_exists_or_is_named_with_a_slash(tmp_path: Path, output: str) -> None:
    (tmp_path / "there.v2").mkdir()
    assert legato("transcribe", *MODEL, EN, "-o", output, home=tmp_path, cwd=tmp_path).returncode == 0
    assert (tmp_path / output / "en.txt").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "missing.jsonl", "-o", "report.html"),
        ("study", "missing.nemo", "--manifest", "missing.jsonl", "-o", "study.md"),
        ("convert", "missing.nemo", "model.onnx"),
    ],
)
def test_the_name_of_a_file_for_several_files(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = legato(*command, home=tmp_path, cwd=tmp_path)
    assert f"{command[-1]} is the name of a file, and the results are several files." in failed(result)
    assert not (tmp_path / command[-1]).exists()


def test_standard_output_by_its_name(tmp_path: Path) -> None:
    result = legato("transcribe", *MODEL, EN, "--output", "-", home=tmp_path, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, b"ten four six hundred zero\n")
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((EN, EN, "-o", "film.srt"), "is one file"),
        ((EN, "-o", "film.srt", "-f", "srt", "-f", "vtt"), "is one file"),
        ((EN, "-o", "film.srt", "--jobs", "2"), "name of a folder"),
        ((EN, "-o", "-", "--jobs", "2"), "name of a folder"),
        (("",), "is empty"),
        (("", EN), "is empty"),
        (("missing.wav",), "there is no such file"),
        (("x" * 300 + ".wav",), "too long"),
        ((EN, "-o", "film.xyz"), "film.xyz: .xyz is not the ending of a format; those are .txt, .json,"),
        ((EN, EN, "-o", "film.xyz"), "If it is a folder, write film.xyz/."),
        ((EN, "-f", "srt", "-o", "film.xyz"), "If it is a folder, write film.xyz/."),
        (("-", "-o", "film.xyz"), "If it is a folder, write film.xyz/."),
        ((".", "-o", "results.v2"), "If it is a folder, write results.v2/."),
        ((EN, "-o", "x" * 300), "cannot be written"),
        ((EN, "-o", "x" * 255 + ".txt"), "cannot be written"),
        ((EN, "-o", "/dev/null"), "/dev/null is a device. Give --output the name of a folder."),
    ],
)
def test_what_is_refused_before_the_model_is_loaded(
    tmp_path: Path, arguments: tuple[str | Path, ...], words: str
) -> None:
    broken = tmp_path / "model"  # would be an error of its own
    broken.mkdir()
    message = failed(legato("transcribe", "--model", broken, *arguments, home=tmp_path, cwd=tmp_path))
    assert words in message
    assert "config.json" not in message


def test_a_pipe_in_place_of_a_result(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()  # would be an error of its own
    os.mkfifo(tmp_path / "en.txt")
    for output, words in (("en.txt", "en.txt: cannot be written: it is not a regular file"), ("pipe", "no folder")):
        if output == "pipe":
            os.mkfifo(tmp_path / output)
        command = ("transcribe", "--model", tmp_path / "model", EN, "--output", output)
        assert words in failed(legato(*command, home=tmp_path, cwd=tmp_path))
    assert (tmp_path / "en.txt").is_fifo()


def test_what_the_system_refuses_concerns_one_file(tmp_path: Path) -> None:
    result = legato("transcribe", *MODEL, "x" * 300 + ".wav", EN, "missing.wav", home=tmp_path)
    message = failed(result)
    assert [line.count("legato: ") for line in message.splitlines()] == [1, 1]
    assert result.stdout == f"{EN}: ten four six hundred zero\n".encode()


def test_the_longest_names(tmp_path: Path) -> None:
    name = "n" * 240
    shutil.copy(EN, tmp_path / f"{name}.flac")
    assert legato("transcribe", *MODEL, tmp_path / f"{name}.flac", "-o", tmp_path, home=tmp_path).returncode == 0
    assert (tmp_path / f"{name}.txt").read_text() == "ten four six hundred zero\n"
    # A result whose name would be too long fails alone, and before it is transcribed.
    folder = tmp_path / "many"
    folder.mkdir()
    shutil.copy(EN, folder / "en.flac")
    shutil.copy(EN, folder / f"{'n' * 250}.aac")
    message = failed(legato("transcribe", *MODEL, folder, "-f", "words", home=tmp_path))
    assert "1 done" in message
    assert "File name too long" in message
    assert (folder / "en.words").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(EN, folder)
    folder.chmod(0o500)
    for command in ((EN, "-o", folder), (folder,)):
        assert "cannot be written: Permission denied" in failed(legato("transcribe", *MODEL, *command, home=tmp_path))
