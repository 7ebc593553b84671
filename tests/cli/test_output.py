"""Tables, events, templates, several formats at once, and channels: through the command and the API."""

import json
import os
import sys
import wave
from io import StringIO
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import legato as library
from legato.audio.source import open_audio, read_audio
from legato.errors import AudioError, LegatoError
from legato.text.formats import WRITERS
from legato.text.sentences import split_segments
from legato.text.template import compile_template
from legato.text.units import columns
from legato.types import Confidence, Segment, Token, Transcript, Word
from tests.support.command import failed, legato
from tests.support.numbers_model import NUMBERS_MODEL, NUMBERS_SAMPLES
from tests.support.sounds import encode, tone

MODEL = ("--model", NUMBERS_MODEL)
EN, DE = NUMBERS_SAMPLES / "en.flac", NUMBERS_SAMPLES / "de.flac"


def write_wav(path: Path, samples: NDArray[np.float32]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call: English, then German on the other channel, then English again while German goes on."""
    english, german = read_audio(EN), read_audio(DE)
    samples = np.zeros((16000 * 16, 2), np.float32)
    samples[: len(english), 0] = english
    samples[80000 : 80000 + len(german), 1] = german
    samples[112000 : 112000 + len(english), 0] = english
    return write_wav(tmp_path_factory.mktemp("call") / "call.wav", samples)


@pytest.fixture(scope="module")
def recognizer(numbers: library.Recognizer) -> library.Recognizer:
    return numbers


@pytest.fixture(scope="module")
def apart(recognizer: library.Recognizer, call: Path) -> Transcript:
    return recognizer.transcribe(call, channels="split")


def test_each_channel_has_its_own_transcript(recognizer: library.Recognizer, call: Path, apart: Transcript) -> None:
    for channel in (0, 1):
        alone = recognizer.transcribe(call, channels=channel)
        mine = [segment for segment in apart.segments if segment.speaker == f"channel {channel}"]
        assert mine
        assert " ".join(segment.text for segment in mine) == alone.text
        assert tuple(word for segment in mine for word in segment.words) == alone.words
    assert len(apart.segments) == 3
    assert all(before.start <= after.start for before, after in pairwise(apart.segments))
    assert {segment.language for segment in apart.segments} == {"en-US", "de-DE"}
    assert apart.text == " ".join(segment.text for segment in apart.segments)


def test_channels_of_arrays_and_files_are_the_same(
    recognizer: library.Recognizer, call: Path, apart: Transcript
) -> None:
    with wave.open(str(call)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    assert recognizer.transcribe(samples, channels="split") == apart
    assert recognizer.transcribe(samples, channels=1) == recognizer.transcribe(call, channels=1)
    assert recognizer.transcribe(samples) == recognizer.transcribe(call)


@pytest.mark.parametrize(
    ("name", "codec", "kind", "rate"),
    [
        ("a.wav", "pcm_s16le", "s16", 44100),
        ("a.flac", "flac", "s16", 16000),
        ("a.mp3", "libmp3lame", "s16p", 44100),
        ("a.opus", "libopus", "s16", 48000),
    ],
)
def test_channels_of_any_codec(tmp_path: Path, name: str, codec: str, kind: str, rate: int) -> None:
    path = encode(tmp_path / name, tone(1.0, rate, (500.0, 3000.0)), rate, codec, kind)
    for channel, frequency in ((0, 500), (1, 3000)):
        with open_audio(path, channel=channel) as file:
            assert file.channels == 2
            samples = np.concatenate(list(file))[:16000]
        spectrum = np.abs(np.fft.rfft(samples))
        assert abs(int(spectrum.argmax()) * 16000 / len(samples) - frequency) < 5
        other = spectrum[round((3500 - frequency) * len(samples) / 16000)]
        assert other < 0.1 * spectrum.max()


def test_channels_of_a_pipe(recognizer: library.Recognizer, call: Path, apart: Transcript, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.wav"
    if sys.platform == "win32":
        pytest.skip("not on Windows")
    os.mkfifo(pipe)
    with pytest.raises(AudioError, match="only from a file"):
        recognizer.transcribe(pipe, channels="split")
    seen: list[float] = []
    assert recognizer.transcribe(call, channels="split", progress=seen.append) == apart
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(apart.duration)


def test_channels_that_are_not_there(recognizer: library.Recognizer, call: Path) -> None:
    with pytest.raises(AudioError, match="no channel 2: it has 2 channels"):
        recognizer.transcribe(call, channels=2)
    with pytest.raises(AudioError, match="no channel 1: it has one channel"):
        recognizer.transcribe(EN, channels=1)
    with pytest.raises(AudioError, match="no channel 1"):
        recognizer.transcribe(np.zeros(16000, np.float32), channels=1)
    with pytest.raises(ValueError, match="'mix', 'split' or a number"):
        recognizer.transcribe(call, channels="left")  # type: ignore[arg-type]


def test_a_mono_file_has_one_channel(recognizer: library.Recognizer) -> None:
    alone = recognizer.transcribe(EN)
    split = recognizer.transcribe(EN, channels="split")
    assert (split.text, split.words, split.tokens) == (alone.text, alone.words, alone.tokens)
    assert {segment.speaker for segment in split.segments} == {"channel 0"}


def test_every_format_says_who_speaks(call: Path, apart: Transcript, tmp_path: Path) -> None:
    formats = [part for kind in WRITERS for part in ("--format", kind)]
    result = legato(
        "transcribe", *MODEL, call, "--channels", "split", *formats, "--output", tmp_path / "out", home=tmp_path
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"call.{kind}" for kind in WRITERS}
    written = {kind: (tmp_path / "out" / f"call.{kind}").read_text() for kind in WRITERS}

    def spoken(pieces: list[str]) -> str:
        return " ".join(" ".join(piece.split()) for piece in pieces)

    assert written["txt"].splitlines() == [f"{s.speaker}: {s.text}" for s in apart.segments]
    data = json.loads(written["json"])
    assert [(s["speaker"], s["text"]) for s in data["segments"]] == [(s.speaker, s.text) for s in apart.segments]
    assert [w["text"] for s in data["segments"] for w in s["words"]] == [w.text for w in apart.words]
    lines = [json.loads(line) for line in written["jsonl"].splitlines()]
    assert [line["type"] for line in lines] == ["segment"] * len(apart.segments) + ["final"]
    assert lines[-1]["text"] == apart.text
    rows = [row.split("\t") for row in written["tsv"].splitlines()]
    assert rows[0] == ["start", "end", "speaker", "text"]
    assert rows[1:] == [
        [str(round(s.start * 1000)), str(round(s.end * 1000)), s.speaker, s.text] for s in apart.segments
    ]
    assert written["words"].split() == apart.text.split()
    for speaker in ("channel 0", "channel 1"):
        said = " ".join(s.text for s in apart.segments if s.speaker == speaker)
        subtitles = [s for s in srt.parse(written["srt"]) if s.content.startswith(f"{speaker}: ")]
        assert spoken([s.content.removeprefix(f"{speaker}: ") for s in subtitles]) == said
        assert all(before.end <= after.start for before, after in pairwise(subtitles))
        assert all(columns(line) <= 42 for s in subtitles for line in s.content.split("\n"))
        captions = [c for c in webvtt.from_buffer(StringIO(written["vtt"])).captions if c.voice == speaker]
        assert spoken([c.text for c in captions]) == said


def test_ctm_is_a_table_of_words(call: Path, tmp_path: Path, recognizer: library.Recognizer) -> None:
    named = call.parent / "a call.wav"
    named.write_bytes(call.read_bytes())
    result = legato("transcribe", *MODEL, named, "--channels", "split", "--format", "ctm", home=tmp_path)
    rows = [line.split(" ") for line in result.stdout.decode().splitlines()]
    assert {row[0] for row in rows} == {"a_call"}
    assert rows == sorted(rows, key=lambda row: (row[1], float(row[2])))
    for channel in (0, 1):
        words = recognizer.transcribe(call, channels=channel).words
        mine = [row for row in rows if row[1] == str(channel + 1)]
        assert [row[4] for row in mine] == [word.text for word in words]
        for row, word in zip(mine, words, strict=True):
            assert float(row[2]) == pytest.approx(word.start)
            assert float(row[2]) + float(row[3]) == pytest.approx(word.end)
            assert float(row[5]) == pytest.approx(word.confidence, abs=2e-4)


def test_live_events_as_json_lines(tmp_path: Path, recognizer: library.Recognizer) -> None:
    pcm = (read_audio(EN) * 32768).round().astype("<i2").tobytes()
    result = legato("transcribe", *MODEL, "--format", "jsonl", "-", home=tmp_path, stdin=pcm)
    assert result.returncode == 0
    events = [json.loads(line) for line in result.stdout.decode().splitlines()]
    text = recognizer.transcribe(EN).text
    kinds = [event["type"] for event in events]
    assert kinds == ["partial"] * kinds.count("partial") + ["segment", "final"]
    assert kinds.count("partial") > 1
    assert events[-1]["text"] == events[-3]["text"] == text
    assert all(text.startswith(event["text"]) for event in events if event["type"] == "partial")


def test_a_template_of_ones_own(tmp_path: Path, recognizer: library.Recognizer) -> None:
    expected = recognizer.transcribe(EN)
    template = r"{index}\t{start:.2f}\t{end_time} {{{language}}} {file} {text}"
    result = legato("transcribe", *MODEL, EN, "--output-template", template, home=tmp_path)
    [segment] = expected.segments
    end = f"00:00:{segment.end:06.3f}"
    assert result.stdout.decode() == f"1\t{segment.start:.2f}\t{end} {{en-US}} {EN} {expected.text}\n"
    legato("transcribe", *MODEL, EN, "--output-template", "{text}", "--output", tmp_path / "o", home=tmp_path)
    assert (tmp_path / "o" / "en.txt").read_text() == expected.text + "\n"
    again = legato("transcribe", *MODEL, EN, "--output", tmp_path / "o", home=tmp_path)
    assert again.stderr.decode() == f"legato: {tmp_path / 'o' / 'en.txt'} was there and is replaced.\n"


@pytest.mark.parametrize(
    "template",
    ["", "no field", "{nobody}", "{}", "{0}", "{text.__class__}", "{text[0]}", "{text!r}", "{start:999999999}", "{text",
     "text}", "{text:{start}}", "{text:.2f}"],
)  # fmt: skip
def test_a_template_reaches_nothing_else(template: str) -> None:
    with pytest.raises(LegatoError, match="--output-template"):
        compile_template(template)


def test_what_cannot_be_combined(call: Path, tmp_path: Path) -> None:
    for wrong in (
        ("--format", "srt", "--format", "vtt"),
        ("--channels", "7"),
    ):
        result = legato("transcribe", *MODEL, call, *wrong, home=tmp_path)
        failed(result)
        assert result.stdout == b""
    failed(legato("transcribe", *MODEL, "-", "--channels", "split", home=tmp_path, stdin=b"\0" * 3200))


@given(
    st.lists(
        st.tuples(st.sampled_from(["end.", "Mr.", "word", "世", "。", "ok?", "U.S."]), st.integers(1, 60)), max_size=50
    )
)
def test_segments_hold_all_words(said: list[tuple[str, int]]) -> None:
    words, frame = [], 0
    for text, wait in said:
        frame += wait
        words.append(Word(text, round(frame * 0.08, 3), round((frame + 1) * 0.08, 3), 0.5))
    text = " ".join(word.text for word in words)
    segments = split_segments(text, [], words, {}, "en", Confidence())
    assert [word for segment in segments for word in segment.words] == words
    assert " ".join(segment.text for segment in segments) == text
    for segment in segments:
        assert segment.end - segment.start <= 30
        assert all(b.start - a.end <= 2 for a, b in pairwise(segment.words))


def test_sentences_are_segments() -> None:
    text = 'Mr. Smith has 3.5 cats, i.e. many. Really? I like it. Yes! He said "go." Then 今日は晴れ。明日は雨。'
    pieces = [*text.split()[:15], "Then", *"今日は晴", "れ。", *"明日は", "雨。"]
    words = [Word(piece, at * 0.16, at * 0.16 + 0.08) for at, piece in enumerate(pieces)]
    tokens = [Token(7, "<en-US>", 1.2, 15), Token(8, "<ja-JP>", 9.04, 113)]
    segments = split_segments(text, tokens, words, {7: "en-US", 8: "ja-JP"}, None, Confidence())
    assert [segment.text for segment in segments] == [
        "Mr. Smith has 3.5 cats, i.e. many.", "Really?", "I like it.", "Yes!",
        'He said "go."', "Then 今日は晴れ。", "明日は雨。",
    ]  # fmt: skip
    assert segments[0].language == "en-US"
    assert segments[-1].language == "ja-JP"
    assert {segment.reason for segment in segments[:-1]} == {"sentence"}
    assert [segment.tokens for segment in segments if segment.tokens] == [(tokens[0],), (tokens[1],)]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=300))
def test_text_without_sentences_has_segments_of_3_to_10_s(waits: list[int]) -> None:
    frames = list(accumulate(waits))
    words = [Word(f"w{at}", round(at * 0.08, 3), round(at * 0.08 + 0.08, 3)) for at in frames]
    text = " ".join(word.text for word in words)
    segments = split_segments(text, [], words, {}, "en", Confidence())
    assert " ".join(segment.text for segment in segments) == text
    assert all(segment.end - segment.start <= 10 for segment in segments)
    if len(segments) > 1:
        assert all(segment.end - segment.start >= 3 for segment in segments)
        assert {segment.reason for segment in segments[:-1]} == {"length"}


def test_the_longest_pause_is_the_border() -> None:
    words = [Word(f"w{n}", n * 0.5 + (0.9 if n > 11 else 0), n * 0.5 + 0.4 + (0.9 if n > 11 else 0)) for n in range(24)]
    segments = split_segments(" ".join(word.text for word in words), [], words, {}, None, Confidence())
    assert [len(segment.words) for segment in segments] == [12, 12]


def test_styles_of_subtitles(tmp_path: Path) -> None:
    sample = NUMBERS_SAMPLES / "en.flac"
    out = tmp_path / "film.vtt"
    assert legato("transcribe", *MODEL, sample, "-f", "vtt:words,lines=1", "-o", out, home=tmp_path).returncode == 0
    captions = webvtt.from_buffer(StringIO(out.read_text("utf-8"))).captions
    assert (
        captions and all("\n" not in caption.raw_text for caption in captions) and "<00:00:" in out.read_text("utf-8")
    )
    wrong = legato("transcribe", *MODEL, sample, "-f", "srt:color=red", home=tmp_path)
    assert "columns, lines, speed, lead, words" in failed(wrong)
    assert "srt, vtt, ass" in failed(legato("transcribe", *MODEL, sample, "-f", "txt:words", home=tmp_path))
    assert "Use vtt:words" in failed(legato("transcribe", *MODEL, sample, "-f", "srt:words", home=tmp_path))
    folder = tmp_path / "folder"
    styled = legato("transcribe", *MODEL, sample, "-f", "srt:columns=20", "-f", "ass", "-o", folder, home=tmp_path)
    assert styled.returncode == 0
    assert sorted(file.name for file in folder.iterdir()) == ["en.ass", "en.srt"]


def test_a_speakers_label_leaves_room() -> None:
    words = tuple(Word("twenty", i * 0.4, i * 0.4 + 0.08) for i in range(40))
    segment = Segment(" ".join(["twenty"] * 40), 0, 16, None, (), words, "end", speaker="channel 0")
    transcript = Transcript(segment.text, None, (), words, 20.0, (segment,))
    items = list(srt.parse(WRITERS["srt"](transcript)))
    assert max(columns(line) for item in items for line in item.content.split("\n")) <= 42
    assert sum(item.content.count("twenty") for item in items) == 40
    assert all(item.content.startswith("channel 0: twenty") for item in items)
