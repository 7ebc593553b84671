"""Segments end between words: those that became too long, and those whose caller waits for the end of a word."""

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import legato
from legato.audio.source import read_audio
from legato.streaming.word_border import LONGEST_WAIT, border_of_commit, border_of_longest
from legato.text.growing import GrowingLines
from legato.text.words import join_texts
from legato.types import Token
from tests.conftest import MakeBundle
from tests.support.numbers_model import NUMBERS_SAMPLES
from tests.support.paths import SAMPLES

Audio = NDArray[np.float32]
RATE = 16000
MODELS = ("embedded", "nemo-r3", "transformers-a", "transformers-b")
CLIPS = [*sorted(NUMBERS_SAMPLES.glob("*.flac")), *sorted(SAMPLES.glob("*.flac"))]


@pytest.fixture(scope="module")
def models(make_bundle: MakeBundle, recognizer: legato.Recognizer) -> dict[str, legato.Recognizer]:
    loaded = {name: legato.load(make_bundle(name), threads=1) for name in MODELS[1:]}
    return {"embedded": recognizer, **loaded}


def audio_of(draw: st.DataObject) -> Audio:
    """Clips, parts of clips and silences in a row."""
    chance = random.Random(draw.draw(st.integers(0, 10**6), label="audio"))
    parts: list[Audio] = []
    for _ in range(chance.randint(1, 2)):
        clip = read_audio(chance.choice(CLIPS))
        start = chance.randrange(len(clip))
        parts += [clip[start : start + chance.randint(1000, 5 * RATE)]]
        parts += [np.zeros(chance.randint(0, 2 * RATE), np.float32)]
    return np.concatenate(parts)


def events_of(
    recognizer: legato.Recognizer, samples: Audio, cuts: Sequence[int], waits: Sequence[int], **options: object
) -> list[legato.Event]:
    """Events of a stream that gets pieces and, at `waits`, commits that wait."""
    with recognizer.stream(**options) as stream:  # type: ignore[arg-type]
        events: list[legato.Event] = []
        for start, end in itertools.pairwise(sorted({0, *cuts, *waits, len(samples)})):
            events += stream.accept(samples[start:end])
            for _ in range(waits.count(end)):
                events += stream.commit(wait=True)
        return events + stream.finish()


def segments_of(events: Sequence[legato.Event]) -> list[legato.Segment]:
    return [event for event in events if isinstance(event, legato.Segment)]


@settings(max_examples=12)
@given(data=st.data())
def test_joined_segments_are_the_text_of_the_stream_without_segments(
    models: dict[str, legato.Recognizer], data: st.DataObject
) -> None:
    """For any audio, pieces, rules, commits and model, trained or random, as long as the search does not restart."""
    recognizer = models[data.draw(st.sampled_from(MODELS), label="model")]
    samples = audio_of(data)
    cut = st.lists(st.integers(1, len(samples)), max_size=5)
    cuts, waits = data.draw(cut, label="cuts"), data.draw(cut, label="waits")
    chunk_ms = data.draw(st.sampled_from([80, 320, 1120]), label="chunk_ms")
    pause = data.draw(st.sampled_from([math.inf, math.inf, 0.3, 1.0]), label="after_speech")
    longest = data.draw(st.sampled_from([0.3, 1.0, 2.5, 6.0, math.inf]), label="longest")
    rules = legato.Endpointing(after_speech=pause, without_speech=math.inf, longest=longest, reset=False)
    events = events_of(recognizer, samples, cuts, waits, chunk_ms=chunk_ms, endpoint=rules)
    whole = recognizer.transcribe(samples, chunk_ms=chunk_ms)
    segments = segments_of(events)
    final = events[-1]
    assert isinstance(final, legato.Final)
    joined = legato.join_segments(segments, duration=whole.duration)
    assert (*joined.tokens, *final.transcript.tokens) == whole.tokens  # a language tag may come after the last text
    # After a silence a segment ends without knowing what follows: a space that the model writes there between two
    # characters of a script without spaces is not in the joined text.
    assert join_texts(joined.text.split()) == join_texts(whole.text.split())
    assert sum(segment.reason == "commit" for segment in segments) == len(waits)
    if pause == math.inf and not waits:  # a commit takes a word to be complete after a silence
        assert joined.text == whole.text
        assert [word.text for word in joined.words] == [word.text for word in whole.words]
        assert [(word.start, word.end) for word in joined.words] == [(word.start, word.end) for word in whole.words]
    for before, after in itertools.pairwise(segments):
        assert before.start <= before.end == after.start
    assert events_of(recognizer, samples, [], waits, chunk_ms=chunk_ms, endpoint=rules) == events


@pytest.mark.parametrize("chunk_ms", [80, 560])
def test_the_engine_agrees(recognizer: legato.Recognizer, chunk_ms: int) -> None:
    samples = np.concatenate([read_audio(path) for path in sorted(SAMPLES.glob("*.flac"))[:3]])
    waits = [len(samples) // 5 * part for part in (1, 2, 3)]
    rules = legato.Endpointing(longest=2.0)
    expected = events_of(recognizer, samples, [], waits, chunk_ms=chunk_ms, endpoint=rules)
    assert {"length", "commit"} <= {segment.reason for segment in segments_of(expected)}
    with legato.Engine(recognizer) as engine, engine.stream(chunk_ms=chunk_ms, endpoint=rules) as stream:
        for start, end in itertools.pairwise([0, *waits, len(samples)]):
            stream.accept(samples[start:end])
            if end in waits:
                stream.commit(wait=True)
        assert stream.finish() == expected


def test_a_partial_tells_what_the_next_segment_begins_with(recognizer: legato.Recognizer) -> None:
    samples = np.concatenate([read_audio(path) for path in sorted(SAMPLES.glob("*.flac"))[:2]])
    rules = legato.Endpointing(longest=2.0, after_speech=math.inf)
    events = events_of(recognizer, samples, range(0, len(samples), 4000), [], endpoint=rules)
    lines = GrowingLines()
    shown = ""
    carried = 0
    for event, following in itertools.pairwise(events):
        shown += lines.add([event])
        if isinstance(event, legato.Segment) and event.reason == "length" and isinstance(following, legato.Partial):
            carried += 1
            assert following.text and following.tokens[0].time == event.end
    assert carried > 1
    assert " ".join(shown.split()) == recognizer.transcribe(samples).text


def test_an_immediate_commit_answers_those_that_wait(recognizer: legato.Recognizer) -> None:
    samples = read_audio(SAMPLES / "en.flac")
    with recognizer.stream() as stream:
        events = stream.accept(samples[: 2 * RATE]) + stream.commit(wait=True)
        assert segments_of(events) == []
        answers = segments_of(stream.commit())
        assert [answer.reason for answer in answers] == ["commit", "commit"]
        assert answers[0].text == recognizer.transcribe(samples[: 2 * RATE]).text and answers[1].text == ""


def test_a_commit_waits_for_the_end_of_the_word_and_no_longer_than_it_says(recognizer: legato.Recognizer) -> None:
    samples = read_audio(SAMPLES / "en.flac")
    words = {word.text for word in recognizer.transcribe(samples, chunk_ms=80).words}
    for asked in range(RATE, len(samples) - 3 * RATE, 5555):
        with recognizer.stream(chunk_ms=80) as stream:
            events = stream.accept(samples[:asked]) + stream.commit(wait=True)
            assert segments_of(events) == []
            sent = asked
            while not segments_of(events) and sent < len(samples):
                events += stream.accept(samples[sent : sent + 1600])
                sent += 1600
            [answer] = segments_of(events)
            assert answer.reason == "commit"
            assert {word.text for word in answer.words} <= words
            assert sent - asked <= (LONGEST_WAIT + 0.4) * RATE
            assert answer.end * RATE >= asked - RATE


def tokens(*pieces: tuple[str, int]) -> list[Token]:
    return [Token(number, piece, frame * 0.08, frame) for number, (piece, frame) in enumerate(pieces)]


def test_the_longest_gap_near_the_end_is_the_border() -> None:
    said = tokens(("▁one", 0), ("▁two", 40), ("▁three", 80), ("▁four", 90), ("▁fi", 95), ("ve", 97))
    border = border_of_longest(said, 100, 100)
    assert border is not None and (border.kept, border.frame) == (2, 80)  # in the last 30 of 100 frames
    assert border_of_longest(said, 103, 100) is not None
    assert border_of_longest(said[3:], 103, 100) is None  # the present silence is the longest gap
    assert border_of_longest(said[:1], 100, 100) is None  # the word may go on


def test_scripts_without_spaces_end_between_characters() -> None:
    said = tokens(("▁今日", 0), ("は", 4), ("、", 6), ("天", 7), ("気", 9), ("っ", 10), ("て", 11))
    border = border_of_longest(said, 12, 12)
    assert border is not None and said[border.kept].piece == "気"
    commit = border_of_commit(said, 12, 3, 0.08)
    assert commit is not None and said[commit.kept].piece == "天"


def test_a_word_of_bytes_and_a_space_between_ideographs_are_no_borders() -> None:
    said = tokens(("▁a", 0), ("▁", 50), ("<0xE4>", 60), ("<0xBB>", 70), ("<0x8A>", 80))
    border = border_of_longest(said, 100, 100)
    assert border is None
    spaced = tokens(("▁今", 0), ("▁日", 90))
    assert border_of_longest(spaced, 100, 100) is None  # joined, the texts would lose the space
