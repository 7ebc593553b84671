"""Endpoints, commits and languages of live streams, files and the engine: the numbers model on clips with silences."""

import asyncio
import copy
import itertools
import json
import logging
import math
import pickle
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.audio.source import read_audio
from legato.installation import install_command
from tests.conftest import MakeBundle
from tests.support.command import failed
from tests.support.command import legato as run
from tests.support.numbers_model import NUMBERS_MODEL, NUMBERS_SAMPLES
from tests.support.sounds import encode

Samples = NDArray[np.float32]
RATE = 16000
NAMES = ("en", "de", "fr", "es", "it", "hi")
LOCALES = ("en-US", "de-DE", "fr-FR", "es-ES", "it-IT", "hi-IN")
DEFAULT = legato.Endpointing()


@cache
def clip(name: str) -> Samples:
    return read_audio(NUMBERS_SAMPLES / f"{name}.flac")


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def joined(gap: float = 2.0, names: Sequence[str] = NAMES) -> tuple[Samples, list[tuple[float, float]]]:
    """Clips with a silence behind each, and where in seconds the silences are."""
    pieces, gaps, length = [], [], 0
    for name in names:
        pieces += [clip(name), silence(gap)]
        gaps.append(((length + len(pieces[-2])) / RATE, (length + len(pieces[-2]) + len(pieces[-1])) / RATE))
        length += len(pieces[-2]) + len(pieces[-1])
    return np.concatenate(pieces), gaps


def events_of(
    recognizer: legato.Recognizer, samples: Samples, size: int, commits: Sequence[int] = (), **options: object
) -> list[legato.Event]:
    """Events of a stream that gets pieces of `size`, and commits behind these numbers of samples."""
    events: list[legato.Event] = []
    with recognizer.stream(**options) as stream:  # type: ignore[arg-type]
        for start, end in itertools.pairwise([0, *commits, len(samples)]):
            for at in range(start, end, size):
                events += stream.accept(samples[at : min(at + size, end)])
            if end in commits:
                events += stream.commit()
        return events + stream.finish()


def segments_of(events: Sequence[legato.Event]) -> list[legato.Segment]:
    return [event for event in events if isinstance(event, legato.Segment)]


@pytest.mark.parametrize("vad", ["none", "silero"])
@pytest.mark.parametrize("reset", [True, False])
def test_segments_end_in_the_silences(numbers: legato.Recognizer, vad: str, reset: bool) -> None:
    samples, gaps = joined()
    rules = legato.Endpointing(vad=vad, reset=reset)  # type: ignore[arg-type]
    segments = numbers.transcribe(samples, endpoint=rules).segments
    assert [segment.text for segment in segments] == [numbers.transcribe(clip(name)).text for name in NAMES]
    assert [segment.language for segment in segments] == list(LOCALES)
    assert {segment.reason for segment in segments} <= {"pause", "end"}
    assert segments[0].start == 0
    for before, after in itertools.pairwise(segments):
        assert after.start == before.end
    for segment, (begin, end) in zip(segments, gaps, strict=True):
        # Clips end with up to half a second of quiet; a pause of 1 s is over before the next clip begins.
        assert begin - 0.5 < segment.end <= end
        assert all(segment.start <= word.start < word.end <= segment.end for word in segment.words)
        assert "<" not in segment.text


def test_the_detector_hears_voices_where_the_model_emits_nothing(numbers: legato.Recognizer) -> None:
    samples, _ = joined()
    without = numbers.transcribe(samples, endpoint=DEFAULT).segments
    heard = numbers.transcribe(samples, endpoint=legato.Endpointing(vad="silero")).segments
    assert len(heard) == len(NAMES)
    assert all(voice.end > blank.end for voice, blank in zip(heard, without, strict=True))


def test_a_pause_that_is_too_short_ends_nothing(numbers: legato.Recognizer) -> None:
    samples, _ = joined(gap=0.2, names=("en", "en", "en"))
    rules = legato.Endpointing(after_speech=2.0)
    [segment] = numbers.transcribe(samples, endpoint=rules).segments
    assert segment.reason == "end"
    assert segment.end == pytest.approx(len(samples) / RATE, abs=0.001)


def test_silence_without_speech_ends_segments(numbers: legato.Recognizer) -> None:
    segments = segments_of(events_of(numbers, silence(16), 4000, endpoint=DEFAULT))
    assert [(s.text, s.start, s.end, s.reason) for s in segments] == [
        ("", 0.0, 5.04, "silence"),
        ("", 5.04, 10.08, "silence"),
        ("", 10.08, 15.12, "silence"),
    ]


def test_the_longest_segment_loses_no_word(numbers: legato.Recognizer) -> None:
    samples, _ = joined()
    rules = legato.Endpointing(after_speech=float("inf"), without_speech=float("inf"), longest=1.2)
    transcript = numbers.transcribe(samples, endpoint=rules)
    assert transcript.text == numbers.transcribe(samples).text
    assert {s.reason for s in transcript.segments} <= {"length", "end"}
    assert len(transcript.segments) > len(NAMES)
    assert all(s.words[-1].end - s.words[0].start <= 1.2 + 0.08 for s in transcript.segments)


@pytest.mark.parametrize("vad", ["none", "silero"])
@pytest.mark.parametrize("chunk_ms", [80, 320, 1120])
def test_stream_file_and_engine_agree_however_the_audio_is_cut(
    numbers: legato.Recognizer, chunk_ms: int, vad: str
) -> None:
    samples, _ = joined(gap=1.3)
    samples = np.concatenate([samples, silence(6)])
    rules = legato.Endpointing(after_speech=0.64, longest=1.8, vad=vad)  # type: ignore[arg-type]
    expected = events_of(numbers, samples, len(samples), chunk_ms=chunk_ms, endpoint=rules)
    assert {"pause", "length", "silence"} <= {s.reason for s in segments_of(expected)}
    for size in (1777, 20011):
        assert events_of(numbers, samples, size, chunk_ms=chunk_ms, endpoint=rules) == expected
    transcript = numbers.transcribe(samples, chunk_ms=chunk_ms, endpoint=rules)
    assert list(transcript.segments) == [s for s in segments_of(expected) if s.text]
    final = expected[-1]
    assert isinstance(final, legato.Final)
    told = [token for s in segments_of(expected) for token in s.tokens]
    assert transcript.tokens == (*told, *final.transcript.tokens)
    with legato.Engine(numbers) as engine, engine.stream(chunk_ms=chunk_ms, endpoint=rules) as stream:
        other = engine.stream(chunk_ms=chunk_ms)  # a neighbour in the batch
        for start in range(0, len(samples), 5000):
            stream.accept(samples[start : start + 5000])
            other.accept(samples[start : start + 5000])
        assert stream.finish() == expected
        assert segments_of(other.finish()) == []


def test_partials_tell_the_open_segment(numbers: legato.Recognizer) -> None:
    samples, _ = joined()
    text = ""
    partials, segments = 0, 0
    for event in events_of(numbers, samples, 3000, endpoint=DEFAULT):
        if isinstance(event, legato.Segment):
            assert event.text == text
            text = ""
            segments += 1
        elif isinstance(event, legato.Partial):
            assert event.text.startswith(text)
            text = event.text
            partials += 1
    assert segments >= len(NAMES)
    assert partials > segments


@pytest.mark.parametrize("rules", [None, DEFAULT])
def test_a_commit_tells_what_a_file_that_ends_there_tells(
    numbers: legato.Recognizer, rules: legato.Endpointing | None
) -> None:
    samples = clip("en")
    texts = set()
    for cut in range(1000, len(samples), 4567):
        stream = numbers.stream(endpoint=rules)
        stream.accept(samples[:cut])
        segment = stream.commit()[-1]
        assert isinstance(segment, legato.Segment)
        whole = numbers.transcribe(samples[:cut])
        assert (segment.text, segment.tokens, segment.words) == (whole.text, whole.tokens, whole.words)
        assert (segment.reason, segment.end) == ("commit", whole.duration)
        events = stream.accept(samples[cut:]) + stream.finish()
        frames = [t.frame for s in (segment, *segments_of(events)) for t in s.tokens]
        assert frames == sorted(frames)
        texts.add(segment.text)
    assert len(texts) > 3  # the cuts are in the middle of what is said


def test_a_commit_between_words_loses_nothing(numbers: legato.Recognizer) -> None:
    samples, gaps = joined()
    commits = [round((begin + 0.7) * RATE) for begin, _ in gaps]
    segments = segments_of(events_of(numbers, samples, 2500, commits))
    assert [s.text for s in segments] == [numbers.transcribe(clip(name)).text for name in NAMES]
    assert [s.end for s in segments] == [round(commit / RATE, 3) for commit in commits]


@pytest.mark.parametrize(("model", "layout"), [("nemo-r3", "native"), ("nemo-r3", "published")])
def test_a_commit_always_answers(make_bundle: MakeBundle, speech: Samples, model: str, layout: str) -> None:
    recognizer = legato.load(make_bundle(model, "fp32", layout))
    stream = recognizer.stream()
    for samples in (silence(0), silence(0), speech[:100], speech[100:50000], silence(0), speech[50000:60000]):
        stream.accept(samples)
        event = stream.commit()[-1]
        assert isinstance(event, legato.Segment)
        assert event.reason == "commit"
        assert len(samples) or event.text == ""
    stream.finish()
    with pytest.raises(legato.LegatoError, match="finished"):
        stream.commit()


def test_commits_and_languages_in_the_engine(numbers: legato.Recognizer) -> None:
    samples, gaps = joined(gap=1.0)
    cuts = [0, *(round((begin + 0.1) * RATE) for begin, _ in gaps), len(samples)]
    expected: list[legato.Event] = []
    with numbers.stream(language="auto", endpoint=DEFAULT) as plain:
        for locale, (start, end) in zip((*LOCALES, "auto"), itertools.pairwise(cuts), strict=True):
            plain.set_language(locale)
            expected += plain.accept(samples[start:end]) + plain.commit()
        expected += plain.finish()
    commits = [s for s in segments_of(expected) if s.reason == "commit"]
    assert len(commits) == len(cuts) - 1
    with legato.Engine(numbers) as engine:
        with engine.stream(endpoint=DEFAULT) as stream:
            for locale, (start, end) in zip((*LOCALES, "auto"), itertools.pairwise(cuts), strict=True):
                stream.set_language(locale)
                stream.accept(samples[start:end])
                stream.commit()
            assert stream.finish() == expected
            with pytest.raises(legato.EngineError, match="finished"):
                stream.commit()

        async def talk() -> list[legato.Event]:
            async with engine.open_async(endpoint=DEFAULT) as stream:
                for locale, (start, end) in zip((*LOCALES, "auto"), itertools.pairwise(cuts), strict=True):
                    stream.set_language(locale)
                    await stream.accept(samples[start:end])
                    stream.commit()
                return await stream.finish()

        assert asyncio.run(talk()) == expected
        with engine.stream() as silent:  # answers without any audio, while the stream is open
            silent.commit()
            assert [s.reason for s in segments_of([next(iter(silent))])] == ["commit"]


def test_a_stream_takes_up_other_rules(numbers: legato.Recognizer) -> None:
    samples, gaps = joined(gap=1.0)
    half = round((gaps[0][0] + 0.1) * RATE)
    with numbers.stream(endpoint=DEFAULT) as stream:
        with_rules = stream.accept(samples) + stream.finish()
    with numbers.stream() as stream:
        stream.set_endpoint(DEFAULT)
        assert stream.accept(samples) + stream.finish() == with_rules
    never = legato.Endpointing(after_speech=math.inf, without_speech=math.inf, longest=math.inf)
    with numbers.stream(endpoint=never) as stream:
        events = stream.accept(samples[:half])
        assert not segments_of(events)
        stream.set_endpoint(DEFAULT)
        events += stream.accept(samples[half:]) + stream.finish()
    assert [s.text for s in segments_of(events)] == [s.text for s in segments_of(with_rules)]
    with legato.Engine(numbers) as engine, engine.stream(endpoint=never) as queued:
        queued.accept(samples[:half])
        queued.set_endpoint(DEFAULT)
        queued.accept(samples[half:])
        assert queued.finish() == events
    with numbers.stream(beam=4) as stream, pytest.raises(legato.LegatoError, match="beam"):
        stream.set_endpoint(DEFAULT)
    with numbers.stream() as stream, pytest.raises(legato.LegatoError, match="detector"):
        stream.set_endpoint(legato.Endpointing(vad="silero"))


@pytest.mark.parametrize("vad", ["none", "silero"])
def test_a_copy_in_mid_segment_continues_bit_for_bit(numbers: legato.Recognizer, vad: str) -> None:
    samples, gaps = joined()
    stream = numbers.stream(endpoint=legato.Endpointing(vad=vad))  # type: ignore[arg-type]
    stream.accept(samples[: round((gaps[0][1] + 1.3) * RATE)])
    stream.commit()
    stream.accept(samples[round((gaps[0][1] + 1.3) * RATE) : round((gaps[1][0] + 0.3) * RATE)])
    resumed = legato.Stream(numbers, copy.deepcopy(stream.state))
    rest = samples[round((gaps[1][0] + 0.3) * RATE) :]
    assert resumed.accept(rest) == stream.accept(rest)
    assert resumed.finish() == stream.finish()
    assert pickle.dumps(resumed.state) == pickle.dumps(stream.state)


def test_a_stream_forgets_its_segments(numbers: legato.Recognizer) -> None:
    samples, _ = joined()
    stream = numbers.stream(endpoint=legato.Endpointing(vad="silero"))
    sizes = []
    for _ in range(4):
        stream.accept(samples)
        stream.commit()
        sizes.append(len(pickle.dumps(stream.state)))
    assert max(sizes[1:]) - min(sizes[1:]) < 3000  # a rest of audio that is not a whole chunk comes and goes
    assert stream.transcript.tokens == ()
    final = stream.finish()[-1]
    assert isinstance(final, legato.Final)
    assert final.transcript.text == ""
    assert final.transcript.duration == pytest.approx(4 * len(samples) / RATE, abs=0.001)


def test_segments_make_a_transcript(numbers: legato.Recognizer) -> None:
    samples, _ = joined()
    segments = segments_of(events_of(numbers, samples, 8000, endpoint=DEFAULT))
    together = legato.join_segments(segments, duration=len(samples) / RATE)
    assert together.text == numbers.transcribe(samples).text
    assert together.words == numbers.transcribe(samples, endpoint=DEFAULT).words
    assert together.language == "hi-IN"


def test_a_language_set_before_the_audio_is_the_language_asked_for(numbers: legato.Recognizer) -> None:
    samples = clip("de")
    stream = numbers.stream(language="auto")
    stream.set_language("DE_de")
    assert stream.accept(samples) + stream.finish() == events_of(numbers, samples, len(samples), language="de-DE")


def test_a_language_takes_effect_at_the_next_chunk(numbers: legato.Recognizer) -> None:
    samples, gaps = joined(names=("en", "de"))
    middle = round(gaps[0][1] * RATE)
    stream = numbers.stream(language="hi-IN", endpoint=DEFAULT)
    before = stream.accept(samples[:middle])
    with pytest.raises(legato.LanguageError, match="auto"):
        stream.set_language("klingon")
    stream.set_language("de-DE")
    after = segments_of(stream.accept(samples[middle:]) + stream.finish())
    assert before == events_of(numbers, samples[:middle], middle, language="hi-IN", endpoint=DEFAULT)[: len(before)]
    assert [(s.text, s.language) for s in after if s.text] == [(numbers.transcribe(clip("de")).text, "de-DE")]


def test_a_segment_without_a_tag_has_the_language_before(numbers: legato.Recognizer) -> None:
    samples, _ = joined(names=("en", "de"))
    stream = numbers.stream()
    stream.accept(samples)
    assert segments_of(stream.commit())[0].language == "de-DE"
    stream.accept(clip("de")[:RATE])
    assert segments_of(stream.commit())[0].language == "de-DE"


def bursts(seconds: float) -> Samples:
    """Noise that comes and goes as syllables do: loud, and no words."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(5).normal(0, 0.1, len(time))
    return (noise * (np.sin(2 * np.pi * 3 * time) > 0)).astype(np.float32)


def test_a_stream_that_is_nearly_all_blank_is_noticed_once(
    numbers: legato.Recognizer, caplog: pytest.LogCaptureFixture
) -> None:
    transcript = numbers.transcribe(bursts(60))
    assert len(transcript.text.split()) < 5
    assert transcript.mostly_blank
    assert [r.levelno for r in caplog.records if "sound like speech" in r.message] == [logging.WARNING]
    final = events_of(numbers, bursts(60), 7000)[-1]
    assert isinstance(final, legato.Final)
    assert final.transcript == transcript


def test_speech_noise_and_silence_are_not_suspicious(numbers: legato.Recognizer) -> None:
    speech, _ = joined()
    steady = np.random.default_rng(7).normal(0, 0.05, 100 * RATE).astype(np.float32)
    for samples in (np.tile(speech, 4), silence(100), np.concatenate([silence(2), steady])):
        assert not numbers.transcribe(samples).mostly_blank


def test_wrong_rules_are_refused() -> None:
    for name in ("after_speech", "without_speech", "longest"):
        for value in (0.0, -1.0, float("nan")):
            with pytest.raises(ValueError, match=name):
                legato.Endpointing(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="vad"):
        legato.Endpointing(vad="webrtc")  # type: ignore[arg-type]


def test_a_detector_that_is_not_installed_is_named() -> None:
    script = (
        "import importlib.util, legato\n"
        "importlib.util.find_spec = lambda name: None\n"
        "try: legato.load().stream(endpoint=legato.Endpointing(vad='silero'))\n"
        "except legato.LegatoError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert install_command("vad") in done.stdout


@pytest.mark.parametrize("option", ["--endpoint", "--vad=silero"])
def test_command_line(tmp_path: Path, numbers: legato.Recognizer, option: str) -> None:
    samples, gaps = joined(names=("en", "de", "es"))
    file = encode(tmp_path / "three.wav", samples[:, None], RATE, "pcm_s16le")
    model = ("--model", NUMBERS_MODEL)
    lines = [numbers.transcribe(clip(name)).text for name in ("en", "de", "es")]
    written = run("transcribe", file, option, *model, home=tmp_path)
    assert written.stdout.decode().splitlines() == lines
    pcm = (samples * 32767).astype("<i2").tobytes()
    live = run("transcribe", "-", option, *model, home=tmp_path, stdin=pcm)
    assert live.stdout.decode().splitlines() == lines
    shown = json.loads(run("transcribe", "-", option, *model, "--format=json", home=tmp_path, stdin=pcm).stdout)
    assert [s["text"] for s in shown["segments"]] == lines
    assert [s["language"] for s in shown["segments"]] == ["en-US", "de-DE", "es-ES"]
    assert all(begin - 0.5 < s["end"] <= end for s, (begin, end) in zip(shown["segments"], gaps, strict=True))
    assert shown["text"] == " ".join(lines)
    assert shown["text"] == " ".join(word["text"] for word in shown["words"])


def test_command_line_without_endpoints(tmp_path: Path) -> None:
    model = ("--model", NUMBERS_MODEL)
    file = encode(tmp_path / "three.wav", joined(names=("en", "de", "es"))[0][:, None], RATE, "pcm_s16le")
    shown = json.loads(run("transcribe", file, *model, "--format=json", home=tmp_path).stdout)
    assert {segment["reason"] for segment in shown["segments"]} <= {"sentence", "pause", "length", "end"}
    printed = run("transcribe", file, *model, home=tmp_path).stdout.decode()
    assert printed.replace("\n\n", " ") == shown["text"] + "\n"  # paragraphs at the pauses
    assert "--no-endpoint" in failed(
        run("transcribe", NUMBERS_SAMPLES / "en.flac", "--no-endpoint", "--vad=silero", home=tmp_path)
    )


def test_command_line_tells_live_events(tmp_path: Path) -> None:
    pcm = (joined(names=("en", "de"))[0] * 32767).astype("<i2").tobytes()
    options = ("--model", NUMBERS_MODEL, "--endpoint", "--format=jsonl")
    lines = run("transcribe", "-", *options, home=tmp_path, stdin=pcm).stdout.decode().splitlines()
    events = [json.loads(line) for line in lines]
    segments = [number for number, event in enumerate(events) if event["type"] == "segment"]
    assert len(segments) == 2
    assert segments[0] + 1 < segments[1]  # it came while the rest was still spoken
    assert events[-1]["type"] == "final"
    assert events[-1]["text"] == " ".join(events[number]["text"] for number in segments)
