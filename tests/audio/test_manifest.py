"""The reader of manifests, and its three users: each reads the same lines."""

import json
from pathlib import Path

import numpy as np
import pytest

from legato.audio.manifest import BrokenLine, Entry, ManifestError, excerpt, read_entries, read_manifest
from legato.convert.quantize.clips import Clip
from legato.convert.quantize.clips import read_manifest as read_calibration
from legato.errors import AudioError, ConversionError, EvaluationError, StudyError
from legato.lab.evaluate.source import read_source
from legato.lab.study.utterances import read_utterances

#: Line separators of Unicode at which `str.splitlines` splits, and which JSON allows in a string.
SEPARATORS = ("\u0085", "\u2028", "\u2029")


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "m.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def line(name: str = "a.wav", **fields: object) -> str:
    return json.dumps({"audio_filepath": name, "text": "one two", "lang": "en-US"} | fields, ensure_ascii=False)


def test_every_key(tmp_path: Path) -> None:
    fields = {"offset": 1, "duration": 2.5, "speaker": "A"}
    [entry] = read_entries(write(tmp_path, line("audio/a.wav", **fields)))
    assert entry == Entry(
        line=1,
        place=f"{tmp_path / 'm.jsonl'}, line 1",
        name="audio/a.wav",
        audio=tmp_path / "audio" / "a.wav",
        text="one two",
        language="en-US",
        offset=1.0,
        duration=2.5,
        fields={"audio_filepath": "audio/a.wav", "text": "one two", "lang": "en-US", **fields},
    )
    absolute = tmp_path / "elsewhere" / "b.wav"
    [entry] = read_entries(write(tmp_path, json.dumps({"audio_filepath": str(absolute)})))
    assert entry.audio == absolute
    assert (entry.text, entry.language, entry.offset, entry.duration) == (None, None, None, None)


@pytest.mark.parametrize("key", ["lang", "language", "source_lang", "target_lang"])
def test_names_of_the_language(tmp_path: Path, key: str) -> None:
    [entry] = read_entries(write(tmp_path, json.dumps({"audio_filepath": "a.wav", "target_lang": "", key: "de-DE"})))
    assert entry.language == "de-DE"


@pytest.mark.parametrize("separator", SEPARATORS)
def test_lines_end_with_a_line_feed_only(tmp_path: Path, separator: str) -> None:
    text = f"one{separator}two"
    first, second = read_entries(write(tmp_path, f"{line(text=text)}\n{line('b.wav')}\n"))
    assert (first.text, first.line) == (text, 1)
    assert (second.name, second.line) == ("b.wav", 2)


def test_carriage_returns_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    content = f"\ufeff{line()}\r\n\r\n  \t\n{line('b.wav')}\r\n{line('c.wav')}"
    entries = read_entries(write(tmp_path, content))
    assert [(entry.name, entry.line) for entry in entries] == [("a.wav", 1), ("b.wav", 4), ("c.wav", 5)]


def test_broken_lines_are_named_in_order(tmp_path: Path) -> None:
    broken = ["{", "[1]", '{"text": "a"}', '{"audio_filepath": ""}', line(offset="soon"), line(duration=-1),
              line(offset=True), '{"audio_filepath": "a.wav", "offset": NaN}',
              '{"audio_filepath": ' + "[" * 100_000]  # fmt: skip
    path = write(tmp_path, "\n".join([line(), *broken, line("b.wav")]))
    found = read_manifest(path)
    assert [isinstance(entry, BrokenLine) for entry in found] == [False, *[True] * len(broken), False]
    reasons = [str(entry) for entry in found if isinstance(entry, BrokenLine)]
    words = [
        "not JSON",
        "not a JSON object",
        "no audio_filepath",
        "no audio_filepath",
        *["not a number of seconds"] * 4,
        "not JSON",
    ]
    for number, (reason, expected) in enumerate(zip(reasons, words, strict=True), 2):
        assert reason.startswith(f"{path}, line {number}: ")
        assert expected in reason
    with pytest.raises(ManifestError, match="line 2: not JSON"):
        read_entries(path)


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such manifest"):
        read_manifest(tmp_path / "gone.jsonl")
    with pytest.raises(ManifestError, match="UTF-8"):
        read_manifest(write(tmp_path, b"\xff\xfe\x00"))
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path)
    assert read_manifest(write(tmp_path, "\n \n")) == []
    with pytest.raises(ManifestError, match="is empty"):
        read_entries(tmp_path / "m.jsonl")


def test_excerpt() -> None:
    samples = np.arange(20, dtype=np.float32)
    assert excerpt(samples, 10, None, 0.5, "a.wav").tolist() == samples.tolist()
    assert excerpt(samples, 10, 0.5, None, "a.wav").tolist() == samples[5:].tolist()
    assert excerpt(samples, 10, 0.5, 1.0, "a.wav").tolist() == samples[5:15].tolist()
    assert excerpt(samples, 10, 1.5, 9.0, "a.wav").tolist() == samples[15:].tolist()
    with pytest.raises(AudioError, match=r"a\.wav: it has 2\.00 s; there is nothing at 2 s"):
        excerpt(samples, 10, 2.0, 1.0, "a.wav")


def test_evaluation_study_and_calibration_read_the_same(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).write_bytes(b"any bytes")
    texts = ["one\u2028two", "one\u0085two", "one two"]
    lines = [line(name, text=text) for name, text in zip(("a.wav", "b.wav", "c.wav"), texts, strict=True)]
    path = write(tmp_path, "\ufeff" + "\r\n\r\n".join(lines) + "\r\n")
    data = read_source(path)
    assert data.problems == []
    assert [(u.audio.name, u.text, u.language) for u in data.utterances] == [
        ("a.wav", texts[0], "en-US"), ("b.wav", texts[1], "en-US"), ("c.wav", texts[2], "en-US"),
    ]  # fmt: skip
    utterances, problems = read_utterances(path)
    assert problems == []
    assert [(u.line, u.text) for u in utterances] == [(1, texts[0]), (3, texts[1]), (5, texts[2])]
    assert read_calibration(path) == [Clip(tmp_path / name, "en-US") for name in ("a.wav", "b.wav", "c.wav")]


def test_evaluation_study_and_calibration_report_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, "\n{\n")
    message = str(read_manifest(path)[0])
    assert message.startswith(f"{path}, line 2: not JSON")
    assert [str(problem) for problem in read_source(path).problems] == [message]
    assert read_utterances(path) == ([], [message])
    with pytest.raises(ConversionError) as raised:
        read_calibration(path)
    assert str(raised.value) == message
    gone = tmp_path / "gone.jsonl"
    for error, read in (
        (EvaluationError, read_source),
        (StudyError, read_utterances),
        (ConversionError, read_calibration),
    ):
        with pytest.raises(error, match="no such manifest"):
            read(gone)
