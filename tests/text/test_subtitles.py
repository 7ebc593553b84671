"""Subtitles, as other libraries read them: cues, lines, times, and scripts without spaces."""

import html
import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from io import StringIO
from itertools import accumulate

import pytest
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from legato.errors import LegatoError
from legato.text.cues import cues_of
from legato.text.formats import writer_of_format
from legato.text.style import STYLE, SubtitleStyle, read_style
from legato.text.subtitles import timestamp, to_ass, to_srt, to_vtt
from legato.text.units import columns
from legato.text.words import split_words
from legato.types import Token, Transcript, Word


def spoken(text: str, step: float = 0.4, start: float = 0.0) -> Transcript:
    """A transcript of words spoken one after the other, one token per word."""
    words = [Word(w, start + i * step, start + i * step + step / 2) for i, w in enumerate(text.split())]
    tokens = [Token(i, "\u2581" + w.text, w.start, round(w.start / 0.08)) for i, w in enumerate(words)]
    return Transcript(" ".join(text.split()), "en-US", tuple(tokens), tuple(words), start + len(words) * step + 1)


def spelled(text: str, times: list[float]) -> Transcript:
    """A transcript of one word without spaces, one token per character."""
    tokens = tuple(Token(i, c, t, round(t / 0.08)) for i, (c, t) in enumerate(zip(text, times, strict=True)))
    return Transcript(text, "ja-JP", tokens, (Word(text, times[0], times[-1] + 0.08),), times[-1] + 1)


def check_srt(transcript: Transcript) -> list[srt.Subtitle]:
    """Read the SRT with another library and check what holds for every subtitle."""
    items = list(srt.parse(to_srt(transcript)))
    assert [item.index for item in items] == list(range(1, len(items) + 1))
    before = timedelta(0)
    for item in items:
        assert before <= item.start < item.end
        assert item.end - item.start <= timedelta(seconds=7)
        before = item.end
        assert 1 <= len(item.content.split("\n")) <= 2
        assert all(columns(line) <= 42 for line in item.content.split("\n"))
    return items


def check_vtt(transcript: Transcript) -> list[webvtt.Caption]:
    captions: list[webvtt.Caption] = list(webvtt.from_buffer(StringIO(to_vtt(transcript))).captions)
    assert [(c.start_in_seconds, c.end_in_seconds) for c in captions] == [
        (cue.start // 1000, cue.end // 1000) for cue in cues_of(transcript)
    ]
    return captions


LONG = "Subtitles are read by people who cannot hear the words. " * 12


def test_the_text_survives() -> None:
    transcript = spoken(LONG)
    assert " ".join(i.content.replace("\n", " ") for i in check_srt(transcript)) == transcript.text
    assert " ".join(c.text.replace("\n", " ") for c in check_vtt(transcript)) == transcript.text


def test_words_of_one_character_each_are_laid_out_as_a_run() -> None:
    """Lines break as they do in one long word, and no spaces are added."""
    text = "私たちは毎朝早く起きて、近くの公園まで歩いてから、ラーメンを食べちゃった。" * 4
    tokens = [Token(i, c, round(i * 0.16, 3), 2 * i) for i, c in enumerate(text)]
    words = split_words(tokens, 0.08)
    assert len(words) > 100
    transcript = Transcript(text, "ja-JP", tuple(tokens), words, 60.0)
    items = check_srt(transcript)
    assert "".join(i.content.replace("\n", "") for i in items) == text
    assert not any(line[0] in "、。っょゃー" for i in items for line in i.content.split("\n"))
    check_vtt(transcript)
    mixed = Transcript(f"Say {text[:4]} now", "ja-JP", (), (Word("Say", 0, 0.1), *words[:4], Word("now", 1, 2)), 9)
    assert [i.content for i in check_srt(mixed)] == [f"Say {text[:4]} now"]


def test_a_pause_starts_a_new_cue() -> None:
    first, second = spoken("one two three"), spoken("four five", start=10)
    both = Transcript("one two three four five", "en-US", first.tokens + second.tokens, first.words + second.words, 12)
    assert [(c.lines, c.start) for c in cues_of(both)] == [(("one two three",), 0), (("four five",), 9700)]


def test_scripts_without_spaces_are_cut_where_a_line_may_break() -> None:
    sentence = "私たちは毎朝早く起きて、近くの公園まで歩いてから、NVIDIAの新しいモデルを試しています。"
    text = sentence * 4
    items = check_srt(spelled(text, [i * 0.16 for i in range(len(text))]))
    assert "".join(i.content.replace("\n", "") for i in items) == text
    lines = [line for i in items for line in i.content.split("\n")]
    assert not any(line[0] in "、。っょ" for line in lines)
    assert sum("NVIDIA" in line for line in lines) == 4
    assert min(columns(line) for line in lines) >= 2


def test_a_pause_inside_a_word_without_spaces() -> None:
    times = [0.0, 0.16, 0.32, 8.0, 8.16]
    assert [(c.lines, c.start) for c in cues_of(spelled("今日は晴れ", times))] == [(("今日は",), 0), (("晴れ",), 7700)]


def test_thai_marks_stay_with_their_letters() -> None:
    text = "สวัสดีครับผมชื่อสมชายยินดีที่ได้รู้จัก" * 3
    items = check_srt(spelled(text, [i * 0.1 for i in range(len(text))]))
    lines = [line for item in items for line in item.content.split("\n")]
    assert len(lines) > 2
    assert "".join(lines) == text
    assert not any(unicodedata.category(line[0]).startswith("M") for line in lines)


@pytest.mark.parametrize("text", ["{an8} a{b}c", r"back\Nslash \h \n", "{\\p1}m 0 0", "a<b> & </i> 1-->2"])
def test_what_is_markup_elsewhere_is_text_here(text: str) -> None:
    transcript = spoken(text)
    escaped = transcript.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert [c.text for c in check_vtt(transcript)] == [escaped]
    assert [item.content for item in check_srt(transcript)] == [transcript.text]


WORDS = st.text(
    st.characters(exclude_categories=("C", "Z", "M"), exclude_characters="\u2028\u2029\x85"), min_size=1, max_size=60
)


def with_times(said: list[tuple[str, int, int]]) -> Transcript:
    """Return a transcript of words, each with the frames before it and its own."""
    words, frame = [], 0
    for text, wait, length in said:
        frame += wait
        words.append(Word(text, frame * 0.08, (frame + length + 1) * 0.08))
        frame += length
    return Transcript(" ".join(w.text for w in words), None, (), tuple(words), frame * 0.08 + 1)


@given(st.lists(st.tuples(WORDS, st.integers(0, 40), st.integers(0, 90)), max_size=40).map(with_times))
def test_any_words_at_any_times(transcript: Transcript) -> None:
    laid = cues_of(transcript)
    assert "".join("".join(c.lines) for c in laid).replace(" ", "") == "".join(w.text for w in transcript.words)
    before = 0
    for cue in laid:
        assert before <= cue.start < cue.end <= cue.start + 7000
        before = cue.end
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < columns(line) <= 42 for line in cue.lines)


def unlined(lines: Iterable[str]) -> str:
    """Join lines, without the spaces that line breaks stand for."""
    return "".join(lines).replace(" ", "").replace("\n", "")


@given(st.lists(st.tuples(WORDS, st.integers(0, 40), st.integers(0, 90)), max_size=40).map(with_times))
def test_any_words_are_read_back_by_other_libraries(transcript: Transcript) -> None:
    assert unlined(item.content for item in check_srt(transcript)) == unlined(transcript.text)
    assert unlined(html.unescape(caption.text) for caption in check_vtt(transcript)) == unlined(transcript.text)


SENTENCES = {
    "ja-JP": "今日は良い天気ですね。 「ラーメン」を食べちゃった! 塔(333メートル)へ、行きますか? NVIDIAの、ＧＰＵ。",
    "zh-CN": "今天天气很好，我们去公园吧。 “你好！”他说：“再见。” 价格是1200元（含税）。 《红楼梦》、《西游记》……",
}


@pytest.mark.parametrize("language", SENTENCES)
@settings(max_examples=30)
@given(data=st.data())
def test_japanese_and_chinese_lines_break_where_they_may(language: str, data: st.DataObject) -> None:
    text = "".join(data.draw(st.lists(st.sampled_from(SENTENCES[language].split()), min_size=1, max_size=12)))
    steps = data.draw(st.lists(st.integers(1, 30), min_size=len(text), max_size=len(text)))
    frames = list(accumulate(steps))
    tokens = [Token(i, c, round(f * 0.08, 3), f) for i, (c, f) in enumerate(zip(text, frames, strict=True))]
    words = split_words(tokens, 0.08)
    transcript = Transcript(text, language, tuple(tokens), words, frames[-1] * 0.08 + 1)
    items = check_srt(transcript)
    assert unlined(item.content for item in items) == unlined([text])
    assert unlined(html.unescape(caption.text) for caption in check_vtt(transcript)) == unlined([text])
    lines = [line for item in items for line in item.content.split("\n")]
    assert not [line for line in lines if line[0] in "、。，！？：）」』》”,!?)ャュョッー"]
    assert not [line for line in lines if line[-1] in "「『《（(“"]


def test_times_of_long_recordings() -> None:
    assert timestamp(0) == "00:00:00.000"
    assert timestamp(3_723_045, ",") == "01:02:03,045"
    assert timestamp(360_000_000) == "100:00:00.000"


def timed(*words: tuple[str, float, float]) -> Transcript:
    """Words with their times."""
    text = " ".join(word for word, _, _ in words)
    return Transcript(text, "en-US", (), tuple(Word(*word) for word in words), words[-1][2] + 1)


def test_cues_end_at_clauses_and_in_gaps_and_lines_are_balanced() -> None:
    clauses = spoken("when the river had gone down again, we walked along the road to the old mill and slept there")
    assert [cue.lines for cue in cues_of(clauses)] == [
        ("when the river had gone down again,",),
        ("we walked along the road to", "the old mill and slept there"),
    ]
    said = ["a", "quick", "brown", "fox", "jumps"]
    words = [
        (word, 2.2 * turn + 0.3 * number, 2.2 * turn + 0.3 * number + 0.28)
        for turn in range(6)
        for number, word in enumerate(said)
    ]
    cues = cues_of(timed(*words))
    assert len(cues) > 1 and all(cue.lines[-1].endswith("jumps") for cue in cues)


def test_cues_begin_before_the_sound_and_stay_until_the_next() -> None:
    [first, second, third] = cues_of(
        timed(
            ("one", 1, 1.3), ("two", 1.3, 1.8), ("three.", 1.8, 2), ("four", 3.3, 4), ("five.", 4, 4.4), ("six", 9, 9.2)
        )
    )
    assert (first.start, first.end) == (700, 3000) == (700, second.start)  # no flash between them
    assert second.end == 5400  # a second after the last word
    assert (third.start, third.end) == (8700, 10_200)
    [short] = cues_of(timed(("extraordinarily-many-characters", 1, 1.1)))
    assert short.end - short.start >= 1000 * 31 / STYLE.speed


def test_cues_are_not_faster_than_one_reads_where_there_is_time() -> None:
    said = " ".join(f"word{number}" for number in range(60))
    for cue in cues_of(spoken(said, step=0.45)):
        assert sum(map(columns, cue.lines)) * 1000 / (cue.end - cue.start) <= STYLE.speed + 0.1


@given(
    st.lists(st.tuples(WORDS, st.integers(0, 40), st.integers(0, 30)), min_size=1, max_size=30),
    st.builds(
        SubtitleStyle,
        columns=st.integers(10, 60),
        lines=st.integers(1, 4),
        speed=st.sampled_from([5.0, 17.0, 100.0]),
        lead=st.sampled_from([0.0, 0.3, 2.0]),
        words=st.booleans(),
    ),
)
def test_any_words_in_any_style(said: list[tuple[str, int, int]], style: SubtitleStyle) -> None:
    words, frame = [], 0
    for text, wait, length in said:
        frame += wait
        words.append((text, round(frame * 0.08, 3), round((frame + length + 1) * 0.08, 3)))
        frame += length
    transcript = timed(*words)
    cues = cues_of(transcript, style)
    before = 0
    for cue in cues:
        assert before <= cue.start < cue.end <= cue.start + 7000
        before = cue.end
        assert 1 <= len(cue.lines) <= style.lines
        assert all(0 < columns(line) <= style.columns for line in cue.lines)
    assert unlined(line for cue in cues for line in cue.lines) == unlined(transcript.text)
    captions = webvtt.from_buffer(StringIO(to_vtt(transcript, style=style))).captions
    assert unlined(html.unescape(caption.text) for caption in captions) == unlined(transcript.text)


def test_karaoke() -> None:
    style = read_style("words,lead=0")
    transcript = timed(("one", 1, 1.3), ("two", 1.5, 1.8), ("{three}", 2, 2.5))
    assert "one <00:00:01.500>two <00:00:02.000>{three}\n" in to_vtt(transcript, style=style)
    last = to_ass(transcript, style=style).splitlines()[-1]
    assert last == r"Dialogue: 0,0:00:01.00,0:00:03.50,Default,,0,0,0,,{\k50}one{\k50} two{\k150} ｛three｝"
    assert to_ass(transcript).splitlines()[-1].endswith(",one two ｛three｝")


@pytest.mark.parametrize(
    ("style", "word"), [("columns=9", "columns"), ("lines=x", "lines"), ("color=red", "color"), ("speed=nan", "speed")]
)
def test_a_wrong_style_is_named(style: str, word: str) -> None:
    with pytest.raises(LegatoError, match=word):
        writer_of_format(f"srt:{style}")
