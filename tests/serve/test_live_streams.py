"""Live streams as the interfaces with sockets get them: formats of audio, limits, commits, and the end."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.audio.arrays import check_samples
from legato.audio.pcm import AudioDecoder, AudioFormat, Encoding
from legato.audio.source import read_audio
from legato.options import StreamOptions
from legato.serve.app import create_app
from legato.serve.core.container import Container
from legato.serve.core.service import Service
from legato.serve.core.session import Session
from legato.serve.errors import ApiError
from legato.serve.settings import Settings
from legato.streaming.controls import Commit
from tests.serve.test_transcriptions import SAMPLES
from tests.support.gate import Gate
from tests.support.sounds import encode


@pytest.fixture(scope="module")
def recognizer() -> legato.Recognizer:
    return legato.load("embedded", threads=1)


@pytest.fixture(scope="module")
def spoken() -> NDArray[np.float32]:
    return read_audio(SAMPLES[0])


@pytest.fixture
def gate(recognizer: legato.Recognizer) -> Iterator[Gate]:
    held = Gate(recognizer.pipeline.encoder)
    recognizer.pipeline.encoder = held
    yield held
    held.open()
    recognizer.pipeline.encoder = held.encoder


@asynccontextmanager
async def serving(recognizer: legato.Recognizer, **settings: Any) -> AsyncIterator[Service]:
    service: Service = create_app(recognizer, Settings(**settings)).state.service
    try:
        yield service
    finally:
        await asyncio.to_thread(service.engine.close, cancel=True)


def with_service(recognizer: legato.Recognizer, do: Callable[[Service], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        async with serving(recognizer, **settings) as service:
            await do(service)

    asyncio.run(run())


async def segments(session: Session) -> list[legato.Segment]:
    found = [event async for event in session]
    assert isinstance(found[-1], legato.Final)
    assert not found[-1].transcript.text
    return [event for event in found if isinstance(event, legato.Segment)]


def encoded(samples: NDArray[np.float32], encoding: Encoding, rate: int) -> bytes:
    """Samples at 16 kHz as a client would send them; G.711 by FFmpeg."""
    if rate != 16000:
        place = np.arange(len(samples) * rate // 16000) * 16000 / rate
        samples = np.interp(place, np.arange(len(samples)), samples).astype(np.float32)
    if encoding == "float32":
        return samples.astype("<f4").tobytes()
    whole = np.round(samples * 32767).astype("<i2")
    if encoding == "pcm16":
        return whole.tobytes()
    codec: Any = av.CodecContext.create(f"pcm_{encoding}", "w")
    codec.sample_rate, codec.layout, codec.format = rate, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
    frame.sample_rate = rate
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_g711_is_what_ffmpeg_makes_of_it(encoding: Encoding) -> None:
    codec: Any = av.CodecContext.create(f"pcm_{encoding}", "r")
    codec.sample_rate, codec.layout = 8000, "mono"
    [frame] = codec.decode(av.Packet(bytes(range(256))))
    expected = check_samples(frame.to_ndarray().reshape(-1))
    decoder = AudioDecoder(AudioFormat(encoding, 16000))
    np.testing.assert_array_equal(decoder.decode(bytes(range(256))), expected)


@pytest.mark.parametrize(
    ("encoding", "rate"),
    [("pcm16", 8000), ("pcm16", 16000), ("pcm16", 24000), ("pcm16", 44100), ("float32", 48000), ("mulaw", 8000),
     ("alaw", 8000)],
)  # fmt: skip
def test_audio_may_be_cut_anywhere(spoken: NDArray[np.float32], encoding: Encoding, rate: int) -> None:
    data = encoded(spoken, encoding, rate)
    whole = AudioDecoder(AudioFormat(encoding, rate))
    expected = np.concatenate([whole.decode(data), whole.flush()])
    assert abs(len(expected) - len(spoken)) <= 16
    cut = AudioDecoder(AudioFormat(encoding, rate))
    borders = np.sort(np.random.default_rng(0).integers(0, len(data), 100)).tolist()
    parts = [cut.decode(data[a:b]) for a, b in zip([0, *borders], [*borders, len(data)], strict=True)]
    np.testing.assert_array_equal(np.concatenate([*parts, cut.flush()]), expected)


def test_channels(spoken: NDArray[np.float32]) -> None:
    both = np.stack([spoken, spoken[::-1]], axis=1)
    data = both.astype("<f4").tobytes()
    mixed = AudioDecoder(AudioFormat("float32", 16000, 2)).decode(data)
    np.testing.assert_allclose(mixed, both.mean(axis=1), atol=1e-7)
    for channel in (0, 1):
        alone = AudioDecoder(AudioFormat("float32", 16000, 2, channel)).decode(data)
        np.testing.assert_array_equal(alone, both[:, channel])


@pytest.mark.parametrize(
    "wrong",
    [{"encoding": "mp3"}, {"rate": 100}, {"rate": 10**9}, {"channels": 0}, {"channels": 99}, {"channel": 1}],
)
def test_formats_that_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"understood|No channel"):
        AudioFormat(**wrong)


@pytest.mark.parametrize(("encoding", "rate"), [("pcm16", 16000), ("pcm16", 24000), ("mulaw", 8000)])
def test_a_stream_says_what_a_file_does(
    recognizer: legato.Recognizer, spoken: NDArray[np.float32], encoding: Encoding, rate: int
) -> None:
    data = encoded(spoken, encoding, rate)
    decoder = AudioDecoder(AudioFormat(encoding, rate))
    expected = recognizer.transcribe(np.concatenate([decoder.decode(data), decoder.flush()])).text
    assert expected

    async def do(service: Service) -> None:
        async with service.live.open("test", AudioFormat(encoding, rate)) as session:
            for start in range(0, len(data), 777):
                await session.accept(data[start : start + 777])
            await session.end()
            assert [each.text for each in await segments(session)] == [expected]
            assert session.finished
        assert len(service.live) == 0

    with_service(recognizer, do)


@pytest.mark.parametrize(
    ("name", "codec", "sample_format", "rate"),
    [
        ("a.ogg", "libopus", "s16", 48000),
        ("a.webm", "libopus", "s16", 48000),
        ("a.mp3", "libmp3lame", "s16p", 44100),
        ("a.flac", "flac", "s16", 16000),
        ("a.wav", "pcm_s16le", "s16", 8000),
        ("a.ts", "aac", "fltp", 48000),
    ],
)
def test_containers_are_decoded_while_they_arrive(
    recognizer: legato.Recognizer, spoken: NDArray[np.float32], tmp_path: Path, name: str, codec: str,
    sample_format: str, rate: int,
) -> None:  # fmt: skip
    place = np.arange(len(spoken) * rate // 16000) * 16000 / rate
    samples = np.interp(place, np.arange(len(spoken)), spoken).astype(np.float32)
    path = encode(tmp_path / name, samples[:, None], rate, codec, sample_format)
    expected = recognizer.transcribe(path).text
    assert expected
    data = path.read_bytes()

    async def do(service: Service) -> None:
        async with service.live.open("test", Container()) as session:
            for start in range(0, len(data), 333):
                await session.accept(data[start : start + 333])
            await session.end()
            assert [each.text for each in await segments(session)] == [expected]

    with_service(recognizer, do)
    no_threads_are_left()


def no_threads_are_left() -> None:
    for thread in threading.enumerate():
        if thread.name == "legato-container":
            thread.join(60)
            assert not thread.is_alive()


def test_a_container_that_is_committed(
    recognizer: legato.Recognizer, spoken: NDArray[np.float32], tmp_path: Path
) -> None:
    data = encode(tmp_path / "a.webm", spoken[:, None], 16000, "libopus").read_bytes()

    async def do(service: Service) -> None:
        async with service.live.open("test", Container()) as session:
            await session.apply(Commit())
            await session.accept(data)
            await session.apply(Commit())
            assert session.accepted_seconds > len(spoken) / 16000 - 0.5
            await session.end()
            first, second = (await segments(session))[:2]
            assert first.text == ""
            assert second.text

    with_service(recognizer, do)


def test_containers_that_are_none(recognizer: legato.Recognizer, spoken: NDArray[np.float32], tmp_path: Path) -> None:
    data = encode(tmp_path / "a.wav", spoken[:, None], 16000, "pcm_s16le").read_bytes()

    async def do(service: Service) -> None:
        async with service.live.open("test", Container()) as session:
            await session.end()  # nothing came: nothing to complain about
            assert await segments(session) == []
        async with service.live.open("test", Container()) as session:
            with pytest.raises(legato.AudioError, match="not an audio file"):
                await session.accept(b"hello, world\n" * 10)
                await session.end()
            assert await segments(session) == []
        async with service.live.open("test", Container()) as session:
            await session.accept(data[: len(data) // 2])  # the client left in mid-word
        async with service.live.open("test", Container()) as session:
            await session.accept(data)
            ending = asyncio.create_task(service.drain.finish(60))
            [said] = await segments(session)
            assert said.text == recognizer.transcribe(spoken).text != ""
        assert await ending

    with_service(recognizer, do)
    no_threads_are_left()


def test_commit_always_answers(recognizer: legato.Recognizer, spoken: NDArray[np.float32]) -> None:
    data = encoded(spoken, "pcm16", 24000)

    async def do(service: Service) -> None:
        async with service.live.open("test", AudioFormat("pcm16", 24000)) as session:
            await session.apply(Commit())
            await session.accept(data)
            await session.apply(Commit())
            await session.apply(Commit())
            await session.accept(data)
            await session.end()
            await session.end()
            await session.accept(data)  # too late, and harmless
            found = await segments(session)
            assert [bool(each.text) for each in found] == [False, True, False, True]
            assert [each.reason for each in found] == ["commit", "commit", "commit", "end"]
            assert session.accepted_seconds == pytest.approx(2 * len(spoken) / 16000, abs=0.01)

    with_service(recognizer, do)


def refusal(service: Service, options: StreamOptions | None = None) -> Awaitable[ApiError]:
    async def run() -> ApiError:
        with pytest.raises(ApiError) as refused:
            async with service.live.open("test", AudioFormat(), options):
                pass
        return refused.value

    return run()


def test_what_is_refused(recognizer: legato.Recognizer) -> None:
    async def do(service: Service) -> None:
        cases: tuple[tuple[StreamOptions, str | None], ...] = (
            (StreamOptions(language="klingon"), "language"),
            (StreamOptions(chunk_ms=100), "chunk_ms"),
            (StreamOptions(phrases=["one"] * 6), None),
        )
        for options, param in cases:
            error = await refusal(service, options)
            assert (error.status, error.param) == (400, param)
        async with service.live.open("test", AudioFormat()), service.live.open("test", AudioFormat()):
            error = await refusal(service)
            assert (error.status, error.code, error.close_code) == (503, "server_busy", 1013)
        async with service.live.open("test", AudioFormat()):
            pass
        assert len(service.live) == 0
        assert service.engine.open_streams == 0

    with_service(recognizer, do, max_streams=2, max_phrases=5)


def test_a_client_that_comes_just_before_another_has_left(recognizer: legato.Recognizer) -> None:
    """Who leaves and comes again at once finds their own place taken for a moment."""

    async def do(service: Service) -> None:
        def place(kind: str) -> AbstractAsyncContextManager[object]:
            return service.files.admit() if kind == "file" else service.live.open("test", AudioFormat())

        async def come(kind: str) -> None:
            async with place(kind):
                pass

        for kind in ("stream", "file"):
            async with place(kind):
                coming = asyncio.create_task(come(kind))
                for _ in range(5):
                    await asyncio.sleep(0)
                assert not coming.done()
            await coming

    with_service(recognizer, do, max_streams=1, max_files=1, max_waiting=0)


def test_a_stream_that_is_too_long_ends_with_what_was_said(
    recognizer: legato.Recognizer, spoken: NDArray[np.float32]
) -> None:
    data = encoded(spoken, "pcm16", 16000)

    async def do(service: Service) -> None:
        async with service.live.open("test", AudioFormat()) as session:
            await session.accept(data)
            with pytest.raises(ApiError) as error:
                await session.accept(data)
            assert (error.value.status, error.value.code) == (413, "too_long")
            await session.end()
            assert [each.text for each in await segments(session)] == [recognizer.transcribe(spoken).text]

    with_service(recognizer, do, max_stream_seconds=1.5 * len(spoken) / 16000)


def test_a_sender_that_is_too_fast_is_slowed_down_and_then_told(recognizer: legato.Recognizer, gate: Gate) -> None:
    async def do(service: Service) -> None:
        async with service.live.open("test", AudioFormat()) as session:
            with pytest.raises(ApiError) as error:
                await session.accept(bytes(32000 * 40))
            assert (error.value.status, error.value.code) == (429, "too_fast")
            gate.open()
            async with asyncio.timeout(60):
                while session.queued_seconds > 20:
                    await asyncio.sleep(0.01)
            await session.accept(bytes(320))
            await session.end()
            assert [each.text for each in await segments(session)] == []

    with_service(recognizer, do, idle_seconds=0.1)


@pytest.mark.parametrize("most", [1.0, math.inf])
def test_no_more_streams_while_one_lags_behind(recognizer: legato.Recognizer, gate: Gate, most: float) -> None:
    async def do(service: Service) -> None:
        async with (
            service.live.open("test", AudioFormat()) as slow,
            service.live.open("test", AudioFormat()) as fast,
        ):
            await fast.accept(bytes(32000 * 20))  # a file sent at once is no sign of overload
            assert fast.lag == 0
            await slow.accept(bytes(32000 * 3 // 2))
            assert slow.lag == pytest.approx(1.5 - 0.32, abs=0.01)
            if math.isfinite(most):
                assert (await refusal(service)).code == "overloaded"
            else:
                async with service.live.open("test", AudioFormat()):
                    pass
            gate.open()
            await slow.end()
            await segments(slow)
        async with service.live.open("test", AudioFormat()):
            pass

    with_service(recognizer, do, max_lag_seconds=most)


def test_draining_ends_streams_with_their_text(recognizer: legato.Recognizer, spoken: NDArray[np.float32]) -> None:
    expected = recognizer.transcribe(spoken).text
    assert expected

    async def do(service: Service) -> None:
        async with service.live.open("test", AudioFormat()) as session:
            await session.accept(encoded(spoken, "pcm16", 16000))
            ending = asyncio.create_task(service.drain.finish(60))
            assert [each.text for each in await segments(session)] == [expected]
            assert session.drained
            assert not ending.done()  # the client may still have to be told
        assert await ending
        assert (await refusal(service)).code == "shutting_down"

    with_service(recognizer, do)


def test_draining_gives_up_what_takes_too_long(recognizer: legato.Recognizer, gate: Gate) -> None:
    async def do(service: Service) -> None:
        async with service.live.open("test", AudioFormat()) as session:
            await session.accept(bytes(32000))
            assert not await service.drain.finish(0.05)
            gate.open()

    with_service(recognizer, do)


def test_samples_that_are_no_numbers(recognizer: legato.Recognizer, spoken: NDArray[np.float32]) -> None:
    async def do(service: Service) -> None:
        async with service.live.open("test", AudioFormat("float32")) as session:
            with pytest.raises(legato.AudioError):
                await session.accept(np.full(100, np.nan, np.float32).tobytes())
            await session.accept(encoded(spoken, "float32", 16000))
            await session.end()
            assert [each.text for each in await segments(session)] == [recognizer.transcribe(spoken).text]

    with_service(recognizer, do)


def test_many_streams_at_a_time_are_never_mixed_up(recognizer: legato.Recognizer) -> None:
    clips = {path: read_audio(path) for path in SAMPLES}
    expected = {path: recognizer.transcribe(samples).text for path, samples in clips.items()}
    assert len(set(expected.values())) == len(SAMPLES)

    async def do(service: Service) -> None:
        async def one(number: int) -> None:
            path = SAMPLES[number % len(SAMPLES)]
            data = encoded(clips[path], "pcm16", 16000)
            async with service.live.open("test", AudioFormat()) as session:
                for start in range(0, len(data), 3200 + 100 * number):
                    await session.accept(data[start : start + 3200 + 100 * number])
                    await asyncio.sleep(0)
                await session.end()
                [said] = await segments(session)
                assert said.text == recognizer.transcribe(np.frombuffer(data, "<i2")).text

        await asyncio.gather(*map(one, range(24)))

    with_service(recognizer, do, max_streams=24)
