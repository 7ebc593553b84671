import json
import os
import re
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import srt
import webvtt

import legato as library
from legato.cli.files import result_paths
from legato.convert.quantize import recipe_summaries
from legato.installation import install_command
from legato.model.registry import ALIASES, embedded_path
from tests.conftest import MakeBundle
from tests.support.command import TIMEOUT, environment, failed, legato, struck
from tests.support.paths import REFERENCES
from tests.support.sounds import Sound, encode, encode_tracks, tone, video_without_sound

FOX = REFERENCES / "audio" / "fox16k.wav"
FRENCH = ("--language", "fr-FR")  # the language in which this random model says something


@pytest.fixture(scope="session")
def bundle(make_bundle: MakeBundle) -> Path:
    return make_bundle("transformers-a")


@pytest.fixture(scope="session")
def expected(bundle: Path) -> library.Transcript:
    transcript = library.load(bundle).transcribe(FOX, language="fr-FR")
    assert len(transcript.text) > 10
    return transcript


def pcm() -> bytes:
    with wave.open(str(FOX), "rb") as file:
        return file.readframes(file.getnframes())


def start(*arguments: str | Path, home: Path, **streams: int) -> subprocess.Popen[bytes]:
    """Start `legato`; all three streams are pipes unless given."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    pipes.update(streams)
    command = [sys.executable, "-m", "legato", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment(home), stdin=pipes["stdin"], stdout=pipes["stdout"], stderr=pipes["stderr"]
    )


def read_until(descriptor: int, done: Callable[[bytes], bool]) -> bytes:
    """Read a stream until the condition holds or it ends."""
    data = b""
    while not done(data):
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # a terminal whose other side is closed
            break
        if not piece:
            break
        data += piece
    return data


def test_version_and_help(tmp_path: Path) -> None:
    assert legato("--version", home=tmp_path).stdout.decode() == f"legato {library.__version__}\n"
    help_text = legato("transcribe", "--help", home=tmp_path).stdout.decode()
    assert all(option in help_text for option in ("--model", "--language", "--chunk-ms", "--format", "--output"))


@pytest.mark.parametrize(
    "command", ["", "transcribe", "listen", "serve", "convert", "bench", "evaluate", "study", "models"]
)
def test_help_fits_a_narrow_terminal(tmp_path: Path, command: str) -> None:
    text = legato(*command.split(), "--help", home=tmp_path, COLUMNS="80").stdout.decode()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.startswith("  ") and line.endswith("...") for line in lines)
    assert not re.search(r"<(str|int|path|list|bool|float)", text)
    if "--chunk-ms" in text:
        assert "80, 160, 320, 560 or 1120" in " ".join(text.split())
    for name, summary in recipe_summaries().items():
        listed = command in {"convert", "study"}
        assert bool(re.search(rf"^  {name}(?!-)", text, re.MULTILINE)) == listed
        assert (summary.replace(" ", "") in "".join(text.split())) == listed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("legato tr", ["transcribe"]),
        ("legato transcribe --model em", ["embedded"]),
        ("legato transcribe -f j", ["json", "jsonl"]),
        ("legato transcribe -l e", ["en-US", "es-ES"]),
        ("legato transcribe --vad ", ["none", "silero"]),
        ("legato models ", ["list", "download", "path", "check", "card", "clean"]),
    ],
)
def test_shell_completion(tmp_path: Path, words: str, expected: list[str]) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    code = "import sys; sys.argv[0] = 'legato'; from legato.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(tmp_path, _LEGATO_COMPLETE="complete_bash", **asked),
        capture_output=True, check=False, timeout=TIMEOUT,
    )  # fmt: skip
    assert result.stdout.decode().split() == expected


def test_one_file_gives_its_text_and_nothing_else(tmp_path: Path, bundle: Path, expected: library.Transcript) -> None:
    result = legato("transcribe", "--model", bundle, *FRENCH, FOX, home=tmp_path)
    assert result.returncode == 0
    assert result.stdout.decode() == expected.text + "\n"
    assert result.stderr == b""


def test_formats(tmp_path: Path, bundle: Path, expected: library.Transcript) -> None:
    def run(kind: str) -> str:
        result = legato("transcribe", "--model", bundle, *FRENCH, "--format", kind, FOX, home=tmp_path)
        assert result.returncode == 0
        return result.stdout.decode()

    data = json.loads(run("json"))
    assert data["text"] == expected.text
    assert data["language"] == "fr-FR"
    assert data["file"] == str(FOX)
    times = [{"id": t.id, "piece": t.piece, "time": round(t.time, 3)} for t in expected.tokens]
    assert [{key: token[key] for key in ("id", "piece", "time")} for token in data["tokens"]] == times
    squeezed = expected.text.replace(" ", "")
    subtitles = srt.parse(run("srt"))
    assert "".join(s.content for s in subtitles).replace("\n", "").replace(" ", "") == squeezed
    captions = webvtt.from_buffer(StringIO(run("vtt"))).captions
    assert "".join(c.text for c in captions).replace("\n", "").replace(" ", "") == squeezed


def test_bad_files_do_not_keep_the_others_from_being_done(
    tmp_path: Path, bundle: Path, expected: library.Transcript
) -> None:
    (tmp_path / "words.txt").write_text("No sound here.\n" * 20)
    (tmp_path / "empty.wav").write_bytes(b"")
    nan = tone(1, 16000)
    nan[5] = float("nan")
    bad = [
        tmp_path / "missing.wav",
        tmp_path / "words.txt",
        tmp_path / "empty.wav",
        video_without_sound(tmp_path / "film.mp4"),
        encode(tmp_path / "nan.wav", nan, 16000, "pcm_f32le", "flt"),
        tmp_path,
    ]
    result = legato("transcribe", "--model", bundle, *FRENCH, *bad, FOX, home=tmp_path)
    lines = failed(result).splitlines()
    assert [line.split(":")[0] for line in lines] == ["legato"] * len(bad)
    for line, path in zip(lines, bad, strict=True):
        assert str(path) in line
        assert line.endswith((".", "/*."))
    assert result.stdout.decode() == f"{FOX}: {expected.text}\n"


def test_a_cut_off_file_is_transcribed_and_said_to_be(tmp_path: Path, bundle: Path) -> None:
    cut = tmp_path / "cut.wav"
    cut.write_bytes(FOX.read_bytes()[:60000])
    result = legato("transcribe", "--model", bundle, *FRENCH, cut, home=tmp_path)
    assert result.returncode == 3
    assert result.stdout.strip()
    assert "cut.wav" in result.stderr.decode()
    assert "cut off at 1.87 s" in result.stderr.decode()


def test_json_of_several_files_is_one_object_a_line(tmp_path: Path, bundle: Path) -> None:
    result = legato("transcribe", "--model", bundle, "--format", "json", FOX, FOX, home=tmp_path)
    assert [json.loads(line)["file"] for line in result.stdout.decode().splitlines()] == [str(FOX)] * 2


def test_a_file_for_each_input(tmp_path: Path, bundle: Path, expected: library.Transcript) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    inputs = [tmp_path / "a" / "fox.wav", tmp_path / "b" / "fox.wav", tmp_path / "a" / "other.wav"]
    for path in inputs:
        shutil.copy(FOX, path)
    out = tmp_path / "deep" / "out"
    result = legato("transcribe", "--model", bundle, *FRENCH, "--output", out, *inputs, home=tmp_path)
    assert result.returncode == 0
    assert result.stdout == b""
    assert {path.name: path.read_text("utf-8") for path in out.iterdir()} == dict.fromkeys(
        ["fox.wav.txt", "fox.wav-2.txt", "other.txt"], expected.text + "\n"
    )
    (tmp_path / "file").write_text("")
    message = failed(legato("transcribe", "--model", bundle, "--output", tmp_path / "file", FOX, home=tmp_path))
    assert "is a file" in message


def test_result_names_never_clash() -> None:
    names = ["x/a.wav", "y/a.wav", "a.mp3", "A.flac", "b.wav", "-", "a.wav-2.ogg"]
    paths = result_paths(names, Path("out"), "srt")
    assert len({str(path).casefold() for path in paths}) == len(names)
    assert paths[4].name == "b.srt"
    assert paths[5].name == "stdin.srt"


def test_what_the_whole_call_is_refused_for(tmp_path: Path, bundle: Path) -> None:
    def run(*arguments: str | Path) -> str:
        result = legato("transcribe", "--model", bundle, *arguments, home=tmp_path)
        assert result.stdout == b""
        return failed(result)

    message = run("--language", "frr", FOX, FOX)
    assert "fr-FR" in message
    assert message.count("Unknown language") == 1
    assert "320" in run("--chunk-ms", "100", FOX)
    assert "--output" in run("--format", "srt", FOX, FOX)
    assert "'mp3' is unknown. Use txt, json, jsonl, srt, vtt, ass, tsv, ctm or words." in run("--format", "mp3", FOX)
    assert "'--threads': give a number of at least 1." in run("--threads", "0", FOX)
    assert "'--beam': give a whole number from 1 to 64." in run("--beam", "many", FOX)
    assert "standard input" in run("-", FOX)
    message = failed(legato("transcribe", "--model", "nemotron-3.5-int9", FOX, home=tmp_path))
    assert "Did you mean nemotron-3.5-int8?" in message
    message = failed(legato("transcribe", "--model", "nemotron-3.5-int8", FOX, home=tmp_path))
    assert "legato models download nemotron-3.5-int8" in message


def test_a_chunk_size_that_was_not_trained_runs_and_is_said_once(tmp_path: Path, bundle: Path) -> None:
    result = legato("transcribe", "--model", bundle, "--chunk-ms", "160", FOX, FOX, home=tmp_path)
    assert result.returncode == 0
    assert result.stderr.decode().count("160 ms") == 1


def test_live_input_is_shown_while_it_comes(tmp_path: Path, bundle: Path, expected: library.Transcript) -> None:
    process = start("transcribe", "--model", bundle, *FRENCH, "-", home=tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    data = pcm()
    process.stdin.write(data[:60001])
    process.stdin.flush()
    first = read_until(process.stdout.fileno(), lambda seen: len(seen) > 0)  # the input is still open
    assert first
    rest, _ = process.communicate(data[60001:], timeout=TIMEOUT)
    assert process.returncode == 0
    assert (first + rest).decode() == expected.text + "\n"


def test_live_input_in_another_format(tmp_path: Path, bundle: Path, expected: library.Transcript) -> None:
    result = legato("transcribe", "--model", bundle, *FRENCH, "--format", "json", "-", home=tmp_path, stdin=pcm())
    assert json.loads(result.stdout)["text"] == expected.text
    result = legato("transcribe", "--model", bundle, *FRENCH, "--output", tmp_path, "-", home=tmp_path, stdin=pcm())
    assert (tmp_path / "stdin.txt").read_text("utf-8") == expected.text + "\n"


def test_ctrl_c_ends_live_input_with_what_was_heard(tmp_path: Path, bundle: Path, expected: library.Transcript) -> None:
    process = start("transcribe", "--model", bundle, *FRENCH, "-", home=tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(pcm())
    process.stdin.flush()
    seen = read_until(process.stdout.fileno(), lambda seen: len(seen) > 20)
    process.send_signal(signal.SIGINT)
    rest = read_until(process.stdout.fileno(), lambda _: False)
    assert process.wait(TIMEOUT) == 130
    text = (seen + rest).decode()
    assert text.endswith("\n")
    assert expected.text.startswith(text.strip()[:20])
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()


def test_ctrl_c_between_files_keeps_what_was_done(tmp_path: Path, bundle: Path) -> None:
    long = encode(tmp_path / "long.wav", tone(30, 16000), 16000, "pcm_s16le")
    result = struck("SIGINT", "long.wav", 2, "transcribe", "--model", bundle, *FRENCH, FOX, long, home=tmp_path)
    failed(result, 130)
    assert result.stdout.decode().startswith(f"{FOX}: ")
    assert result.stdout.count(b"\n") == 1


@pytest.mark.parametrize("data", [b"", b"\x00"])
def test_live_input_that_is_empty(tmp_path: Path, bundle: Path, data: bytes) -> None:
    assert "0 samples" in failed(legato("transcribe", "--model", bundle, "-", home=tmp_path, stdin=data))


def test_live_input_that_is_a_file(tmp_path: Path, bundle: Path, expected: library.Transcript) -> None:
    result = legato("transcribe", "--model", bundle, *FRENCH, "-", home=tmp_path, stdin=FOX.read_bytes())
    assert (result.returncode, result.stdout.decode()) == (0, expected.text + "\n")


def test_a_film_on_standard_input(tmp_path: Path, bundle: Path, expected: library.Transcript) -> None:
    samples = (np.frombuffer(pcm(), "<i2")[:, None] / 32768).astype(np.float32)
    film = encode_tracks(
        tmp_path / "film.mkv", [Sound(np.zeros_like(samples), 16000, "pcm_s16le"), Sound(samples, 16000, "pcm_s16le")]
    )
    command = ("transcribe", "--model", bundle, *FRENCH, "--track", "1")
    for name, data in ((film, b""), ("-", film.read_bytes())):
        result = legato(*command, name, home=tmp_path, stdin=data)
        assert (result.returncode, result.stdout.decode()) == (0, expected.text + "\n")
        assert "audio track 1 of 2 is read" in result.stderr.decode()
    folder = tmp_path / "folder"
    folder.mkdir()
    film.rename(folder / "film.mkv")
    assert legato(*command, folder, home=tmp_path).returncode == 0
    assert (folder / "film.txt").read_text() == expected.text + "\n"
    assert "no audio track 2" in failed(legato(*command[:-1], "2", folder / "film.mkv", home=tmp_path))


def test_raw_input_of_another_format(tmp_path: Path, bundle: Path, expected: library.Transcript) -> None:
    samples = np.frombuffer(pcm(), "<i2")
    stereo = np.repeat(samples[:, None], 2, axis=1).astype(">i2").tobytes()
    options = ("--raw-encoding", "pcm16be", "--raw-channels", "2")
    result = legato("transcribe", "--model", bundle, *FRENCH, *options, "-", home=tmp_path, stdin=stereo)
    assert (result.returncode, result.stdout.decode()) == (0, expected.text + "\n")
    faster = legato("transcribe", "-f", "json", "--raw-rate", "32000", "-", home=tmp_path, stdin=pcm())
    assert json.loads(faster.stdout)["duration"] == pytest.approx(len(samples) / 32000, abs=0.01)
    for wrong in (("--raw-encoding", "mp3", "-"), ("--raw-rate", "1", "-"), ("--raw-rate", "8000", FOX)):
        assert "--raw-" in failed(legato("transcribe", *wrong, home=tmp_path))


def test_a_reader_that_has_enough(tmp_path: Path, bundle: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start("transcribe", "--model", bundle, *FRENCH, FOX, home=tmp_path, stdout=writing)
    os.close(writing)
    _, message = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 141
    assert message == b""


def test_on_a_terminal_a_bar_is_drawn_beside_the_result(tmp_path: Path, bundle: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("not on Windows")
    import pty

    long = encode(tmp_path / "long.wav", tone(120, 16000), 16000, "pcm_s16le")
    ours, theirs = pty.openpty()
    process = start("transcribe", "--model", bundle, *FRENCH, long, home=tmp_path, stderr=theirs)
    os.close(theirs)
    drawn = read_until(ours, lambda _: False).decode()
    assert process.stdout is not None
    text = process.stdout.read().decode()
    assert process.wait(TIMEOUT) == 0, drawn
    assert "long.wav" in drawn
    assert "120 s" in drawn
    assert "120 s" not in text
    assert "\x1b" not in text


def test_the_keyboard_is_no_microphone(tmp_path: Path, bundle: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("not on Windows")
    import pty

    ours, theirs = pty.openpty()
    process = start("transcribe", "--model", bundle, "-", home=tmp_path, stdin=theirs)
    _, message = process.communicate(timeout=TIMEOUT)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 2
    assert b"keyboard" in message


def test_the_best_downloaded_model_is_the_default(tmp_path: Path, bundle: Path, expected: library.Transcript) -> None:
    models = tmp_path / "legato" / "models"
    models.mkdir(parents=True)
    shutil.copytree(bundle, models / "aaa--other")
    shutil.copytree(bundle, models / ALIASES["nemotron-3.5-fp16"].replace("/", "--"))
    (models / ".partial").mkdir()
    result = legato("transcribe", *FRENCH, FOX, home=tmp_path)
    assert result.stdout.decode() == expected.text + "\n"
    assert result.stderr.decode().startswith("Model: nemotron-3.5-fp16")
    assert result.stderr.count(b"\n") == 1
    shutil.copytree(bundle, models / ALIASES["nemotron-3.5-int8"].replace("/", "--"))
    result = legato("transcribe", *FRENCH, FOX, home=tmp_path)
    assert result.stderr.decode().startswith("Model: nemotron-3.5-int8")
    assert legato("models", "list", home=tmp_path).stdout == legato("models", home=tmp_path).stdout
    listed = [line.split("\t")[0] for line in legato("models", home=tmp_path).stdout.decode().splitlines()]
    assert listed[:3] == ["nemotron-3.5-int8", "nemotron-3.5-fp16", "aaa/other"]
    (models / "aaa--other" / "joint.onnx.data").unlink()
    result = legato("models", home=tmp_path)
    assert "joint.onnx.data" in failed(result)
    assert len(result.stdout.splitlines()) >= 3


def test_without_a_download_the_embedded_model_is_the_default(tmp_path: Path) -> None:
    result = legato("transcribe", FOX, home=tmp_path)
    if embedded_path() is None:
        assert "legato models download nemotron-3.5-int8" in failed(result)
        pytest.skip("this checkout has no embedded model")
    assert result.returncode == 0
    assert result.stderr.decode().startswith("Model: embedded")
    assert result.stderr.count(b"\n") == 1
    assert b"legato models download nemotron-3.5-int8" in result.stderr
    named = legato("transcribe", "--model", "embedded", FOX, home=tmp_path)
    assert named.stdout == result.stdout
    assert "embedded\t" in legato("models", home=tmp_path).stdout.decode()


def test_models_check_names_the_altered_file(tmp_path: Path, bundle: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    result = legato("models", "check", copy, home=tmp_path)
    assert result.returncode == 0
    assert "complete (fp32, native layout" in result.stdout.decode()
    data = bytearray((copy / "encoder.onnx.data").read_bytes())
    data[1000] ^= 1
    (copy / "encoder.onnx.data").write_bytes(data)
    assert "encoder.onnx.data" in failed(legato("models", "check", copy, home=tmp_path))
    assert "encoder.onnx.data" in failed(legato("transcribe", "--model", copy, FOX, home=tmp_path))


def test_convert(tmp_path: Path, expected: library.Transcript) -> None:
    out = tmp_path / "model"
    result = legato("convert", REFERENCES / "transformers-a", out, "--precision", "fp32", home=tmp_path)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode() == f"{out}\n"
    assert "encoder.onnx.data" in result.stderr.decode()
    text = legato("transcribe", "--model", out, *FRENCH, FOX, home=tmp_path).stdout.decode()
    assert text == expected.text + "\n"
    assert str(out) in failed(legato("convert", REFERENCES / "transformers-a", out, home=tmp_path))
    assert str(FOX) in failed(legato("convert", FOX, tmp_path / "other", home=tmp_path))
    assert "gone" in failed(legato("convert", tmp_path / "gone", tmp_path / "other", home=tmp_path))
    assert not (tmp_path / "other").exists()


def test_convert_without_its_packages(tmp_path: Path) -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.modules['onnx_ir'] = None; sys.argv = ['legato', 'convert', 'a', 'b'];"
            "from legato.cli import main; main()",
        ],
        env=environment(tmp_path),
        capture_output=True,
        check=False,
    )
    assert install_command("convert") in failed(result)
