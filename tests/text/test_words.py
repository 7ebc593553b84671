"""Confidence, words and segments: against NeMo's numbers, against a second computation, and across borders."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import legato
from legato.audio.source import read_audio
from legato.model.bundle import open_bundle
from legato.text.pieces import SPACE, decode
from legato.text.words import join_texts, split_words
from legato.types import Token
from tests.conftest import MakeBundle
from tests.runtime.test_recorded_frames import samples_of
from tests.support.numbers_model import NUMBERS_MODEL, NUMBERS_SAMPLES
from tests.support.paths import REFERENCES

Measures = Literal["max_prob", "entropy"]
COMBINE: dict[str, Callable[[list[float]], float]] = {
    "min": lambda values: float(np.min(values)),
    "mean": lambda values: float(np.mean(values)),
    "prod": lambda values: float(np.prod(values)),
}


@pytest.fixture(scope="module")
def counted() -> NDArray[np.float32]:
    """Six languages in a row, with a long pause in the middle."""
    clips = [read_audio(path) for path in sorted(NUMBERS_SAMPLES.glob("*.flac"))]
    assert len(clips) == 6
    return np.concatenate([*clips[:3], np.zeros(4 * 16000, np.float32), *clips[3:]])


@pytest.mark.parametrize("checkpoint", ["nemo-contexts", "nemo-kernel31"])
@pytest.mark.parametrize("measure", ["max_prob", "entropy"])
def test_confidence_is_nemos(make_bundle: MakeBundle, checkpoint: str, measure: Measures) -> None:
    recognizer = legato.load(make_bundle(checkpoint), threads=1, confidence=legato.Confidence(measure))
    recorded = json.loads((REFERENCES / checkpoint / "confidence.json").read_text())
    expected = json.loads((REFERENCES / checkpoint / "expected.json").read_text())["clips"]
    values: list[float] = []
    for clip, about in recorded["clips"].items():
        transcript = recognizer.transcribe(
            samples_of(clip), language=expected[clip]["language"], chunk_ms=80 * (recorded["right"] + 1)
        )
        assert [token.id for token in transcript.tokens] == about["tokens"]
        got = [token.confidence for token in transcript.tokens]
        np.testing.assert_allclose(got, about[measure], rtol=0, atol=3e-4)
        values += got
    assert len(values) > 50
    assert max(values) - min(values) > 0.1


@pytest.mark.parametrize("aggregation", ["min", "mean", "prod"])
def test_words_and_segments_aggregate_their_tokens(
    make_bundle: MakeBundle, aggregation: Literal["min", "mean", "prod"]
) -> None:
    chosen = legato.Confidence(aggregation=aggregation)
    recognizer = legato.load(make_bundle("nemo-ctc"), threads=1, confidence=chosen)
    transcript = recognizer.transcribe(samples_of("joined"), language="en-US", chunk_ms=160)
    combine = COMBINE[aggregation]
    tags = recognizer.bundle.language_tags
    spoken = [token for token in transcript.tokens if token.id not in tags]
    compared = 0
    # The tokens from one leading space to the next spell a word, in scripts with spaces.
    borders = sorted({0, *(i for i, token in enumerate(spoken) if token.piece.startswith(SPACE)), len(spoken)})
    words = list(transcript.words)
    for first, last in pairwise(borders):
        mine = spoken[first:last]
        text = decode(token.piece for token in mine)
        taken: list[legato.Word] = []
        while len("".join(word.text for word in taken)) < len(text):
            taken.append(words.pop(0))
        assert "".join(word.text for word in taken) == text
        if len(taken) == 1:  # no script without spaces in it
            assert taken[0].start == mine[0].time
            assert taken[0].end == pytest.approx(mine[-1].time + 0.08)
            assert taken[0].confidence == pytest.approx(combine([token.confidence for token in mine]), abs=2e-4)
            compared += 1
    assert compared >= 3
    assert transcript.segments
    for segment in transcript.segments:
        assert segment.confidence == pytest.approx(combine([word.confidence for word in segment.words]), abs=2e-4)


def test_unknown_confidence_is_refused() -> None:
    wrong: Any = "median"
    with pytest.raises(ValueError, match="use one of min, mean, prod"):
        legato.Confidence(aggregation=wrong)
    scale: Any = "calibrated"
    with pytest.raises(TypeError, match="an option of transcribe and stream"):
        legato.load("embedded", confidence=scale)
    with pytest.raises(ValueError, match="'raw' or 'calibrated', not 'median'"):
        legato.StreamOptions(confidence=wrong)


def checked(transcript: legato.Transcript) -> legato.Transcript:
    """Check what holds for the words and segments of every transcript."""
    assert "".join(w.text for w in transcript.words) == transcript.text.replace(" ", "")
    assert tuple(w for s in transcript.segments for w in s.words) == transcript.words
    assert tuple(t for s in transcript.segments for t in s.tokens) == transcript.tokens
    assert "".join(s.text for s in transcript.segments).replace(" ", "") == transcript.text.replace(" ", "")
    assert all(s.text in transcript.text for s in transcript.segments)
    for before, after in pairwise(transcript.words):
        assert before.start < before.end
        assert before.start <= after.start
    for parts in (transcript.words, transcript.segments, transcript.tokens):
        assert all(0 <= part.confidence <= 1 for part in parts)
    return transcript


@pytest.mark.parametrize("chunk_ms", [80, 320, 1120])
def test_words_do_not_depend_on_how_the_audio_comes(
    numbers: legato.Recognizer, counted: NDArray[np.float32], chunk_ms: int
) -> None:
    file = checked(numbers.transcribe(counted, chunk_ms=chunk_ms))
    assert len(file.words) > 20
    streamed = []
    rng = np.random.default_rng(chunk_ms)
    for largest in (700, 50_000):
        with numbers.stream(chunk_ms=chunk_ms) as stream:
            position = 0
            while position < len(counted):
                size = int(rng.integers(1, largest))
                stream.accept(counted[position : position + size])
                position += size
            final = stream.finish()[-1]
        assert isinstance(final, legato.Final)
        streamed.append(checked(final.transcript))
    for transcript in streamed:
        assert transcript == file
        np.testing.assert_allclose(
            [w.confidence for w in transcript.words], [w.confidence for w in file.words], rtol=0, atol=2e-4
        )
    # The same chunks were computed, so even the last digit is the same.
    assert repr(streamed[0]) == repr(streamed[1])


@settings(max_examples=10)
@given(data=st.data())
def test_a_file_in_any_pieces_has_the_same_words_at_the_same_times(
    numbers: legato.Recognizer, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(sorted(NUMBERS_SAMPLES.glob("*.flac"))), label="file")
    chunk_ms = data.draw(st.sampled_from([80, 320, 560, 1120]), label="chunk_ms")
    samples = read_audio(path)
    sizes = data.draw(st.lists(st.integers(0, 20_000), max_size=30), label="sizes")
    cuts = [cut for cut in np.cumsum(sizes, dtype=int).tolist() if cut < len(samples)]
    with numbers.stream(chunk_ms=chunk_ms) as stream:
        partials = [event for piece in np.split(samples, cuts) for event in stream.accept(piece)]
        *rest, final = stream.finish()
    assert isinstance(final, legato.Final)
    file = numbers.transcribe(path, chunk_ms=chunk_ms)
    assert file.words
    got = final.transcript
    assert (got.text, got.words, got.tokens, got.segments) == (
        file.text, file.words, file.tokens, file.segments,
    )  # fmt: skip
    assert [p.text for p in (*partials, *rest) if isinstance(p, legato.Partial)][-1] == file.text


@pytest.mark.parametrize("chunk_ms", [80, 320])
def test_a_token_depends_on_no_sound_after_its_chunk(
    numbers: legato.Recognizer, counted: NDArray[np.float32], chunk_ms: int
) -> None:
    """So times are not too early: sound after the chunk of a token cannot have caused it."""
    tokens = numbers.transcribe(counted, chunk_ms=chunk_ms).tokens
    assert len(tokens) > 20
    chunk = chunk_ms // 80
    noise = np.random.default_rng(1).normal(0, 0.1, len(counted)).astype(np.float32)
    for token in tokens[3::7]:
        seen = (token.frame // chunk + 1) * chunk - 1  # the last frame of the chunk
        reach = 1280 * seen + 256  # a spectrum reaches 256 samples past its middle
        other = np.concatenate([counted[:reach], noise[reach:]])
        before = [each for each in tokens if each.frame <= seen]
        assert [each.id for each in numbers.transcribe(other, chunk_ms=chunk_ms).tokens[: len(before)]] == [
            each.id for each in before
        ]
        # Nor are they too late: the sound of the chunk determines its frames.
        earlier = reach - 1280 * chunk
        other = np.concatenate([counted[:earlier], noise[earlier:]])
        changed = (
            numbers.encode(other, chunk_ms=chunk_ms)[: seen + 1]
            != numbers.encode(counted, chunk_ms=chunk_ms)[: seen + 1]
        )
        assert changed.any(axis=1).nonzero()[0].tolist() == list(range(seen - chunk + 1, seen + 1))


def test_a_pause_ends_a_segment(numbers: legato.Recognizer, counted: NDArray[np.float32]) -> None:
    transcript = numbers.transcribe(counted)
    assert len(transcript.segments) >= 2
    gaps = [after.start - before.end for before, after in pairwise(transcript.segments)]
    assert max(gaps) > 4
    inner = [b.start - a.end for s in transcript.segments for a, b in pairwise(s.words)]
    assert max(inner) <= 2
    assert {s.language for s in transcript.segments} <= set(open_bundle(NUMBERS_MODEL).language_tags.values())


def test_byte_pieces_keep_the_time_of_their_first_byte() -> None:
    pieces = ["▁x", "<0xE4>", "<0xB8>", "<0x96>", "界"]
    words = split_words([Token(i, p, i * 0.08, i, 0.9 - i / 10) for i, p in enumerate(pieces)], 0.08)
    assert [(w.text, w.start, w.end, w.confidence) for w in words] == [
        ("x", 0.0, 0.08, 0.9),
        ("世", 0.08, 0.32, 0.6),
        ("界", 0.32, 0.4, 0.5),
    ]


PIECE_KINDS = [
    "▁",
    "▁Mr",
    "▁end",
    ".",
    "!",
    "世",
    "界。",
    "「",
    "▁un▁deux",
    "สวั",
    "ते",
    "<unk>",
    "▁<unk>",
    "⁇",
    "<0xE4>",
    "<0xB8>",
    "<0x96>",
]
PIECES = st.lists(st.sampled_from(PIECE_KINDS), max_size=60)


@given(PIECES)
def test_words_of_any_pieces_are_the_text(pieces: list[str]) -> None:
    words = split_words([Token(i, p, i * 0.08, i) for i, p in enumerate(pieces)], 0.08)
    assert "".join(word.text for word in words) == decode(pieces).replace(" ", "")
    assert all(word.text and " " not in word.text for word in words)


# Words and joined texts of given pieces


def tokens(*pieces: str) -> list[Token]:
    return [Token(i, piece, round(i * 0.08, 3), i) for i, piece in enumerate(pieces)]


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["▁hel", "lo", ",", "▁world", "."], ["hello,", "world."]),
        (["hel", "lo"], ["hello"]),
        (["▁vingt▁et▁un", "▁deux"], ["vingt", "et", "un", "deux"]),
        (["▁", "こん", "にちは", "。", "世界"], ["こ", "ん", "に", "ち", "は。", "世", "界"]),
        (["▁は", "「", "NV", "I", "の", "」", "2", "0", "年"], ["は", "「NVI", "の」", "20", "年"]),
        (["▁สวัส", "ดี", "▁ครับ"], ["ส", "วั", "ส", "ดี", "ค", "รั", "บ"]),
        (["▁hi", "<0xE4>", "<0xB8>", "<0x96>", "<0xE4>"], ["hi", "世"]),
        (["▁a", "<unk>", "b", "<s>", "c", "<en-US>", "<laugh>"], ["abc"]),
        (["▁a", "<", "b", ">", "▁<>", "▁<b", "▁b>"], ["a<b>", "<>", "<b", "b>"]),
        (["▁a", "<en US>", "▁<unk>", "▁b", "▁⁇", "⁇", "▁⁇▁", "▁<b>", "c"], ["a", "bc"]),
        (["▁नम", "स्", "ते", "▁दो"], ["नमस्ते", "दो"]),
        (["▁", "▁", "a"], ["a"]),
        (["▁人々2024"], ["人", "々", "2024"]),
        (["▁〆切と〇x"], ["〆", "切", "と", "〇", "x"]),
        (["▁ｶﾞｷﾞ", "ｰok", "か゛"], ["ｶﾞ", "ｷﾞ", "ｰ", "ok", "か゛"]),
        (["▁㍿ABC", "▁ＧＰＵ", "▁ﾡﾢ"], ["㍿", "ABC", "ＧＰＵ", "ﾡﾢ"]),
        (["▁๒๕", "▁໑໒", "▁១២", "▁၁၂"], ["๒", "๕", "໑", "໒", "១", "២", "၁", "၂"]),
        ([], []),
    ],
)
def test_words(pieces: list[str], words: list[str]) -> None:
    assert [word.text for word in split_words(tokens(*pieces), 0.08)] == words


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["One.", "Two", "", "three."], "One. Two three."),
        (["今日は。", "「明日」", "です。"], "今日は。「明日」です。"),
        (["彼は「うん。」", "『そう』と", "NVIDIA!", "「ええ」"], "彼は「うん。」『そう』とNVIDIA!「ええ」"),
        (["他说：“好！”", "“再见。”", "Bye."], "他说：“好！”“再见。”Bye."),
        (['He said "go."', '"No."', "(Yes)", "네,", "“그래”"], 'He said "go." "No." (Yes) 네, “그래”'),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["«Ja»", "...", "nein", "नमस्ते", "दो।", "तीन"], "«Ja» ... nein नमस्ते दो। तीन"),
        (["人々", "2024年"], "人々2024年"),
        (["〆", "Yes", "〇", "ok", "ｶﾞｷﾞ", "and", "ㄅㄆ"], "〆Yes〇okｶﾞｷﾞandㄅㄆ"),
        (["한국어", "ﾡﾢ", "ＧＰＵ", "2024"], "한국어 ﾡﾢ ＧＰＵ 2024"),
    ],
)
def test_texts_are_joined_as_their_script_is_written(texts: list[str], joined: str) -> None:
    assert join_texts(texts) == joined


def test_word_times_run_from_the_first_token_to_the_end_of_the_last() -> None:
    first, second = split_words(tokens(f"{SPACE}a", "b", "c", f"{SPACE}d"), 0.08)
    assert (first.start, first.end) == (0.0, 0.24)
    assert (second.start, second.end) == (0.24, 0.32)
