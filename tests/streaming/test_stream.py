"""Live streams through the public API."""

import copy
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import legato
from legato.audio.source import read_audio
from tests.conftest import MakeBundle
from tests.support.live import LANGUAGES, clip
from tests.support.numbers_model import NUMBERS_SAMPLES

Samples = NDArray[np.float32]


def events_of(
    recognizer: legato.Recognizer, samples: Samples, cuts: list[int], **options: object
) -> list[legato.Event]:
    events: list[legato.Event] = []
    with recognizer.stream(**options) as stream:  # type: ignore[arg-type]
        for start, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
            events += stream.accept(samples[start:end])
        return events + stream.finish()


@pytest.mark.parametrize(("layout", "precision"), [("native", "fp32"), ("native", "int8"), ("published", "fp32")])
@settings(max_examples=12)
@given(data=st.data())
def test_any_cut_gives_the_same_events(
    make_bundle: MakeBundle, speech: Samples, layout: str, precision: str, data: st.DataObject
) -> None:
    recognizer = legato.load(make_bundle("nemo-r3", precision, layout))
    samples = speech[: data.draw(st.integers(1, 60000), label="length")]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=20), label="cuts"))
    whole = events_of(recognizer, samples, [], language="de-DE")
    assert events_of(recognizer, samples, cuts, language="de-DE") == whole


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("chunk_ms", [80, 160, 320, 560, 1120])
def test_stream_gives_what_the_file_gives(
    make_bundle: MakeBundle, speech: Samples, chunk_ms: int, precision: str
) -> None:
    recognizer = legato.load(make_bundle("transformers-b", precision))
    *partials, final = events_of(recognizer, speech, list(range(0, len(speech), 4321)), chunk_ms=chunk_ms)
    assert isinstance(final, legato.Final)
    assert final.transcript == recognizer.transcribe(speech, chunk_ms=chunk_ms)
    tokens = [token for event in partials if isinstance(event, legato.Partial) for token in event.tokens]
    assert tuple(tokens) == final.transcript.tokens
    assert tokens


def test_hours_in_one_piece_are_cut_inside(make_bundle: MakeBundle, speech: Samples) -> None:
    recognizer = legato.load(make_bundle("nemo-r3"))
    long = np.tile(speech, 4)
    stream = recognizer.stream()
    events = stream.accept(long)
    assert [*events, *stream.finish()] == events_of(recognizer, long, list(range(0, len(long), 16000)))


def test_text_only_grows(make_bundle: MakeBundle, speech: Samples) -> None:
    recognizer = legato.load(make_bundle("nemo-r3"))
    texts = [e.text for e in events_of(recognizer, speech, []) if isinstance(e, legato.Partial)]
    assert len(texts) > 3
    for before, after in itertools.pairwise(texts):
        assert after.startswith(before)


def test_an_event_comes_with_the_chunk_that_brought_it(make_bundle: MakeBundle, speech: Samples) -> None:
    recognizer = legato.load(make_bundle("nemo-r3"))
    with recognizer.stream(chunk_ms=320) as stream:
        heard = 0.0
        events = 0
        for start in range(0, len(speech), 160):
            heard += 0.01
            for event in stream.accept(speech[start : start + 160]):
                assert isinstance(event, legato.Partial)
                assert heard - 0.01 <= event.time <= heard + 0.0005
                assert all(event.time - 0.35 < token.time < event.time for token in event.tokens)
                assert event.tokens
                events += 1
        assert events > 5


def test_a_copy_of_the_state_continues_bit_for_bit(make_bundle: MakeBundle, speech: Samples) -> None:
    recognizer = legato.load(make_bundle("transformers-b"))
    stream = recognizer.stream()
    stream.accept(speech[:40000])
    resumed = legato.Stream(recognizer, copy.deepcopy(stream.state))
    assert resumed.accept(speech[40000:]) == stream.accept(speech[40000:])
    assert resumed.finish() == stream.finish()


def test_bad_samples_leave_the_stream_as_it_was(make_bundle: MakeBundle, fox: Samples) -> None:
    recognizer = legato.load(make_bundle("nemo-r3"))
    stream = recognizer.stream()
    stream.accept(fox[:20000])
    broken = fox[20000:21000].copy()
    broken[7] = np.nan
    with pytest.raises(legato.AudioError, match="NaN"):
        stream.accept(broken)
    stream.accept(fox[20000:])
    assert stream.finish()[-1] == events_of(recognizer, fox, [])[-1]


def test_a_finished_stream_says_so(make_bundle: MakeBundle, fox: Samples) -> None:
    stream = legato.load(make_bundle("nemo-r3")).stream()
    stream.accept(fox)
    stream.finish()
    with pytest.raises(legato.LegatoError, match="finished"):
        stream.accept(fox)
    with pytest.raises(legato.LegatoError, match="finished"):
        stream.finish()


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 1000])
def test_very_short_streams(make_bundle: MakeBundle, fox: Samples, samples: int) -> None:
    recognizer = legato.load(make_bundle("nemo-r3"))
    final = events_of(recognizer, fox[:samples], [])[-1]
    assert isinstance(final, legato.Final)
    assert final.transcript.duration == round(samples / 16000, 3)


def test_no_word_ends_after_the_audio(recognizer: legato.Recognizer) -> None:
    cut = 0
    for language in LANGUAGES:
        samples = clip(language)
        for length in (len(samples), len(samples) * 2 // 3):
            transcript = recognizer.transcribe(samples[:length], language=language)
            ends = [*(word.end for word in transcript.words), *(segment.end for segment in transcript.segments)]
            assert max(ends) <= transcript.duration
            cut += ends[-1] == transcript.duration
            with recognizer.stream(language=language) as stream:
                stream.accept(samples[:length])
                [*_, committed] = stream.commit()
                assert isinstance(committed, legato.Segment)
                assert committed.words[-1].end <= committed.end
    assert cut  # the last frame of some is longer than the audio


def test_threads_share_a_recognizer(make_bundle: MakeBundle, speech: Samples) -> None:
    recognizer = legato.load(make_bundle("nemo-r3"), threads=1)
    clips = [speech[i * 9000 : i * 9000 + 60000] for i in range(8)]
    alone = [recognizer.transcribe(clip) for clip in clips]
    assert len({transcript.text for transcript in alone}) == len(clips)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(recognizer.transcribe, clips)) == alone


def test_unknown_language_names_the_nearest(make_bundle: MakeBundle) -> None:
    recognizer = legato.load(make_bundle("transformers-a"))
    with pytest.raises(legato.LanguageError, match=r"'dee-XX'.*de-DE"):
        recognizer.stream(language="dee-XX")
    with pytest.raises(legato.LanguageError, match="auto"):
        recognizer.stream(language="klingon")
    recognizer.stream(language="DE_de")


def test_language_tags_are_reported_and_kept_out_of_the_text(make_bundle: MakeBundle, fox: Samples) -> None:
    transcript = legato.load(make_bundle("nemo-r3")).transcribe(fox, language="de-DE")
    assert "<en-US>" in [token.piece for token in transcript.tokens]
    assert transcript.language == "en-US"
    assert transcript.words
    assert "<" not in transcript.text
    assert all("<" not in word.text for word in transcript.words)
    assert " ".join(word.text for word in transcript.words) == transcript.text


def test_impossible_chunk_sizes(make_bundle: MakeBundle) -> None:
    native = legato.load(make_bundle("nemo-r3"))
    for chunk_ms in (0, 100, -80, 240):
        with pytest.raises(legato.ChunkSizeError):
            native.stream(chunk_ms=chunk_ms)
    with pytest.raises(legato.ChunkSizeError, match="320 ms only"):
        legato.load(make_bundle("nemo-r3", "fp32", "published")).stream(chunk_ms=80)


def test_an_untrained_chunk_size_is_said_once(
    make_bundle: MakeBundle, fox: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    recognizer = legato.load(make_bundle("transformers-a"))
    for _ in range(3):
        recognizer.transcribe(fox, chunk_ms=160)
    assert [record.message for record in caplog.records if "160 ms" in record.message] == [
        f"The model {recognizer.bundle.name} was trained with chunks of 80, 320, 560, 1120 ms, not of "
        "160 ms: expect more errors."
    ]


def test_empty_audio_is_an_error(make_bundle: MakeBundle, tmp_path: Path) -> None:
    with pytest.raises(legato.AudioError, match="empty"):
        legato.load(make_bundle("nemo-r3")).transcribe(np.zeros(0, np.float32))


@pytest.mark.parametrize("rate", [8000, 44100])
def test_samples_of_another_rate(numbers: legato.Recognizer, rate: int) -> None:
    """Streams and the engine resample piece by piece, and give what the whole audio gives."""
    resampler = soxr.ResampleStream(16000, rate, 1, dtype="float32")
    samples = resampler.resample_chunk(read_audio(NUMBERS_SAMPLES / "en.flac"), last=True)
    whole = numbers.transcribe(samples, sample_rate=rate)
    assert whole.text == numbers.transcribe(NUMBERS_SAMPLES / "en.flac").text
    pieces = [samples[start : start + 777] for start in range(0, len(samples), 777)]
    with numbers.stream(sample_rate=rate) as stream:
        for piece in pieces:
            stream.accept(piece)
        final = stream.finish()[-1]
    assert isinstance(final, legato.Final)
    assert (final.transcript.tokens, final.transcript.duration) == (whole.tokens, whole.duration)
    with legato.Engine(numbers, max_queued_seconds=1) as engine, engine.stream(sample_rate=rate) as live:
        for piece in pieces:
            refused = True
            while refused:  # what there is no room for is kept, and goes before the next piece
                try:
                    live.accept(piece, timeout=0)
                    refused = False
                except legato.BusyError as error:
                    assert error.accepted in {0, len(piece)}
                    refused = not error.accepted
        final = live.finish()[-1]
    assert isinstance(final, legato.Final)
    assert (final.transcript.tokens, final.transcript.duration) == (whole.tokens, whole.duration)


def test_a_commit_takes_what_the_resampler_holds(numbers: legato.Recognizer) -> None:
    silence = np.zeros(8000, np.float32)
    with numbers.stream(sample_rate=8000) as stream:
        stream.accept(silence)
        *_, segment = stream.commit()
        assert isinstance(segment, legato.Segment)
        assert segment.end == 1.0
        stream.accept(silence)
        assert stream.transcript.duration > 1.9


def test_integers_that_are_wider_than_their_values(
    numbers: legato.Recognizer, caplog: pytest.LogCaptureFixture
) -> None:
    """16-bit samples in int32 and int64 give the text of the same samples in int16, with a warning."""
    samples = (read_audio(NUMBERS_SAMPLES / "en.flac") * 32767).astype(np.int16)
    expected = numbers.transcribe(samples).text
    assert expected
    for dtype in (np.int32, np.int64):
        caplog.clear()
        with numbers.stream() as stream:
            for start in range(0, len(samples), 1600):
                stream.accept(samples[start : start + 1600].astype(dtype))
            final = stream.finish()[-1]
        assert isinstance(final, legato.Final)
        assert final.transcript.text == expected
        assert "values of 16 bits" in caplog.text
