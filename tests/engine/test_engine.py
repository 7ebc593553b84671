"""Many streams through one engine: the same events as alone, whoever else is there."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.engine import Engine, Step
from legato.engine.mailbox import Mailbox
from legato.engine.scheduler import Scheduler
from legato.engine.slot import Slot
from tests.conftest import MakeBundle
from tests.support.gate import Gate

Samples = NDArray[np.float32]
PIECE = 1600


@pytest.fixture
def recognizer(make_bundle: MakeBundle) -> legato.Recognizer:
    return legato.load(make_bundle("nemo-r3"), threads=1)


@pytest.fixture
def gate(recognizer: legato.Recognizer) -> Iterator[Gate]:
    """Holds the recogniser's encoder; opened at the end, so that nothing waits for ever."""
    held = Gate(recognizer.pipeline.encoder)
    recognizer.pipeline.encoder = held
    yield held
    held.open()


def alone(recognizer: legato.Recognizer, samples: Samples, **options: object) -> list[legato.Event]:
    with recognizer.stream(**options) as stream:  # type: ignore[arg-type]
        return stream.accept(samples) + stream.finish()


def pieces(samples: Samples, size: int = PIECE) -> Iterator[Samples]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def clips_of(speech: Samples, count: int) -> list[Samples]:
    """Clips of other content and length."""
    return [speech[number * 9000 : number * 9000 + 30000 + 1777 * number] for number in range(count)]


# Events


@pytest.mark.parametrize("layout", ["native", "published"])
def test_many_threads_get_their_own_events(make_bundle: MakeBundle, speech: Samples, layout: str) -> None:
    recognizer = legato.load(make_bundle("nemo-r3", "fp32", layout), threads=1)
    clips = clips_of(speech, 8)
    languages = ["auto", "de-DE", "en-US", "de-DE"] * 2
    expected = [alone(recognizer, clip, language=name) for clip, name in zip(clips, languages, strict=True)]
    assert len({event.transcript for _, *_, event in expected if isinstance(event, legato.Final)}) == 8
    together = threading.Barrier(8)

    def run(number: int) -> list[legato.Event]:
        with engine.stream(language=languages[number]) as stream:
            together.wait(60)
            for piece in pieces(clips[number], PIECE + 37 * number):
                stream.accept(piece)
            return stream.finish()

    with Engine(recognizer, max_batch=5) as engine, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(8))) == expected


@pytest.mark.parametrize("name", ["transformers-b", "nemo-contexts"])
def test_chunk_sizes_side_by_side(make_bundle: MakeBundle, speech: Samples, name: str) -> None:
    recognizer = legato.load(make_bundle(name), threads=1)
    sizes = [80, 320, 1120, 80, 320, 560]
    clips = clips_of(speech, len(sizes))
    with Engine(recognizer) as engine:
        streams = [engine.stream(chunk_ms=size) for size in sizes]
        for stream, clip in zip(streams, clips, strict=True):
            stream.accept(clip)
        for stream, clip, size in zip(streams, clips, sizes, strict=True):
            assert stream.finish() == alone(recognizer, clip, chunk_ms=size)


def test_interleaved_streams_that_come_and_go(recognizer: legato.Recognizer, speech: Samples) -> None:
    """Streams of other ages share batches; each new one takes the place of one that ended."""
    clips = clips_of(speech, 12)
    expected = [alone(recognizer, clip) for clip in clips]
    waiting = list(range(12))
    live: dict[int, tuple[legato.EngineStream, Iterator[Samples]]] = {}
    got: dict[int, list[legato.Event]] = {}
    with Engine(recognizer, max_streams=4, max_batch=3) as engine:
        while waiting or live:
            while waiting and len(live) < 4:
                number = waiting.pop(0)
                live[number] = engine.stream(), pieces(clips[number], 2500 + 311 * number)
                got[number] = []
            for number, (stream, rest) in list(live.items()):
                piece = next(rest, None)
                if piece is not None:
                    stream.accept(piece)
                    got[number] += stream.poll()
                else:
                    got[number] += stream.finish()
                    del live[number]
    assert [got[number] for number in range(12)] == expected


def test_a_buffer_may_be_filled_again(recognizer: legato.Recognizer, fox: Samples, gate: Gate) -> None:
    buffer = np.empty(PIECE, np.float32)
    with Engine(recognizer) as engine, engine.stream() as stream:
        for piece in pieces(fox):
            buffer[: len(piece)] = piece
            stream.accept(buffer[: len(piece)])
            buffer[:] = 0.5
        gate.open()
        assert stream.finish() == alone(recognizer, fox)


def test_one_thread_sends_while_another_takes(recognizer: legato.Recognizer, speech: Samples) -> None:
    with Engine(recognizer, max_queued_seconds=1) as engine, engine.stream() as stream, ThreadPoolExecutor(1) as pool:
        taken = pool.submit(list, stream)
        for piece in pieces(speech):
            stream.accept(piece)
        stream.end()
        assert taken.result(60) == alone(recognizer, speech)
        assert stream.poll() == []
        assert list(stream) == []
        assert stream.queued_seconds == 0
        assert stream.recognized_seconds == len(speech) / 16000


@pytest.mark.parametrize("samples", [0, 1, 160, 5119, 5121])
def test_very_short_streams(recognizer: legato.Recognizer, fox: Samples, samples: int) -> None:
    with Engine(recognizer) as engine, engine.stream() as stream:
        stream.accept(fox[:samples])
        assert stream.finish() == alone(recognizer, fox[:samples])


# asyncio


def test_many_coroutines(recognizer: legato.Recognizer, speech: Samples) -> None:
    clips = clips_of(speech, 8)
    expected = [alone(recognizer, clip) for clip in clips]

    async def run(engine: Engine, clip: Samples) -> list[legato.Event]:
        async with engine.open_async() as stream:

            async def send() -> None:
                for piece in pieces(clip):
                    await stream.accept(piece)
                stream.end()

            sending = asyncio.create_task(send())
            events = [event async for event in stream]
            await sending
            return events

    async def everything() -> list[list[legato.Event]]:
        with Engine(recognizer, max_queued_seconds=0.7) as engine:
            results = await asyncio.gather(*(run(engine, clip) for clip in clips))
            assert engine.open_streams == 0
            return results

    assert asyncio.run(everything()) == expected


def test_a_cancelled_coroutine_frees_its_place(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    async def client(engine: Engine, entered: asyncio.Event) -> None:
        async with engine.open_async() as stream:
            await stream.accept(speech[:16000])
            entered.set()
            async for _ in stream:
                pass

    async def everything() -> list[legato.Event]:
        with Engine(recognizer, max_streams=2) as engine:
            entered = asyncio.Event()
            task = asyncio.create_task(client(engine, entered))
            await entered.wait()
            async with engine.open_async() as other:
                await other.accept(speech[:50000])
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert engine.open_streams == 1
                gate.open()
                return await other.finish()

    assert asyncio.run(everything()) == alone(recognizer, speech[:50000])


def test_coroutines_wait_for_room(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    async def everything() -> list[legato.Event]:
        with Engine(recognizer, max_queued_seconds=1) as engine:
            async with engine.open_async() as stream:
                with pytest.raises(legato.BusyError) as caught:
                    await stream.accept(speech[:40000], timeout=0)
                assert caught.value.accepted == 16000
                sending = asyncio.create_task(stream.accept(speech[16000:40000]))
                gate.open()
                await sending
                return await stream.finish()

    assert asyncio.run(everything()) == alone(recognizer, speech[:40000])


def test_a_dead_event_loop_harms_nobody(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    async def walk_away(engine: Engine) -> None:
        await engine.open_async().accept(speech[:16000])

    with Engine(recognizer) as engine:
        asyncio.run(walk_away(engine))
        with engine.stream() as stream:
            stream.accept(speech[:40000])
            gate.open()
            assert stream.finish() == alone(recognizer, speech[:40000])
        assert engine.open_streams == 0


# Batches and turns


def test_what_becomes_ready_during_a_step_joins_the_next(
    recognizer: legato.Recognizer, speech: Samples, gate: Gate
) -> None:
    slots = {name: recognizer.bundle.prompt_slot(name) for name in ("en-US", "de-DE", "fr-FR")}
    with Engine(recognizer) as engine:
        streams = [engine.stream(language=name) for name in slots]
        streams[0].accept(speech[:11000])  # two chunks
        gate.wait_for_a_step()
        streams[1].accept(speech[:6000])
        streams[2].accept(speech[:6000])
        gate.open()
        for stream in streams:
            stream.finish()
    assert gate.prompts()[0] == [slots["en-US"]]
    assert sorted(gate.prompts()[1]) == sorted(slots.values())


def test_a_stream_with_much_audio_takes_turns(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    """Rows are few and one stream sends much at once: the others are in every round all the same."""
    names = ("en-US", "de-DE", "fr-FR")
    slots = [recognizer.bundle.prompt_slot(name) for name in names]
    with Engine(recognizer, max_batch=1, max_queued_seconds=60) as engine:
        greedy, *modest = [engine.stream(language=name) for name in names]
        greedy.accept(speech[:80000])
        gate.wait_for_a_step()
        for stream in modest:
            stream.accept(speech[:17000])
            stream.end()
        gate.open()
        greedy.finish()
    order = [prompt for [prompt] in gate.prompts()]
    assert order[:12] == slots * 4
    assert set(order[12:]) == {slots[0]}


def new_slot(recognizer: legato.Recognizer, chunk_ms: int) -> Slot:
    return Slot(recognizer.start(chunk_ms=chunk_ms), Mailbox(16000, 5000))


def test_no_chunk_size_starves(recognizer: legato.Recognizer) -> None:
    scheduler = Scheduler()
    slots = {
        name: new_slot(recognizer, size) for name, size in [("a", 80), ("b", 320), ("c", 80), ("d", 320), ("e", 80)]
    }
    for now, slot in enumerate(slots.values()):
        scheduler.add(slot, now)
    assert scheduler.take(2) == [slots["a"], slots["c"]]
    scheduler.add(slots["a"], 9)
    assert scheduler.take(2) == [slots["b"], slots["d"]]
    assert scheduler.take(2) == [slots["e"], slots["a"]]
    assert scheduler.take(2) == []


def test_waiting_for_company(recognizer: legato.Recognizer) -> None:
    scheduler = Scheduler()
    slots = [new_slot(recognizer, 320) for _ in range(3)]
    assert scheduler.due_in(100, 5, {4: 3}, 16) is None
    scheduler.add(slots[0], 100)
    assert scheduler.due_in(102, 5, {4: 3}, 16) == 3
    assert scheduler.due_in(106, 5, {4: 3}, 16) == 0
    assert scheduler.due_in(102, 5, {4: 1}, 16) == 0  # all open streams are ready
    scheduler.add(slots[1], 102)
    assert scheduler.due_in(102, 5, {4: 3}, 2) == 0  # the batch is full


def test_a_ready_chunk_waits_for_all_open_streams(recognizer: legato.Recognizer, speech: Samples) -> None:
    steps: list[Step] = []
    done = threading.Semaphore(0)

    def note(step: Step) -> None:
        steps.append(step)
        done.release()

    with Engine(recognizer, max_wait_ms=600_000, on_step=note) as engine:
        streams = [engine.stream() for _ in range(3)]
        for piece in (speech[:6000], speech[6000:12000]):
            for stream in streams:
                stream.accept(piece)
            assert done.acquire(timeout=60)  # before the engine is closed, which ends all waiting
    assert [(step.rows, step.frames) for step in steps[:2]] == [(3, 4), (3, 4)]


# Limits


def test_more_streams_than_admitted(recognizer: legato.Recognizer, speech: Samples) -> None:
    with Engine(recognizer, max_streams=2) as engine:
        first, second = engine.stream(), engine.stream()
        first.accept(speech[:20000])
        with pytest.raises(legato.BusyError, match="2 streams"):
            engine.stream()
        second.close()
        with engine.stream() as third:
            third.accept(speech[20000:40000])
            assert third.finish() == alone(recognizer, speech[20000:40000])
        assert first.finish() == alone(recognizer, speech[:20000])
        assert engine.open_streams == 0


def test_a_full_queue_is_said_and_nothing_is_lost(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    with Engine(recognizer, max_queued_seconds=1) as engine, engine.stream() as stream:
        rest = speech[:60000]
        with pytest.raises(legato.BusyError, match="1 s of audio") as caught:
            stream.accept(rest, timeout=0)
        assert caught.value.accepted == 16000
        assert stream.queued_seconds == 1
        with pytest.raises(legato.BusyError):
            stream.accept(rest[16000:], timeout=0)
        gate.open()
        stream.accept(rest[16000:])
        assert stream.finish() == alone(recognizer, speech[:60000])


def test_a_long_chunk_always_fits(make_bundle: MakeBundle, speech: Samples) -> None:
    recognizer = legato.load(make_bundle("transformers-b"), threads=1)
    with Engine(recognizer, max_queued_seconds=0.01) as engine, engine.stream(chunk_ms=1120) as stream:
        stream.accept(speech[:60000])
        assert stream.finish() == alone(recognizer, speech[:60000], chunk_ms=1120)


def test_impossible_settings(recognizer: legato.Recognizer) -> None:
    for options in ({"max_streams": 0}, {"max_batch": 0}, {"max_wait_ms": -1.0}, {"max_queued_seconds": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            Engine(recognizer, **options)


def test_a_stream_that_the_model_cannot_do_takes_no_place(recognizer: legato.Recognizer) -> None:
    with Engine(recognizer, max_streams=1) as engine:
        with pytest.raises(legato.LanguageError):
            engine.stream(language="klingon")
        with pytest.raises(legato.ChunkSizeError):
            engine.stream(chunk_ms=100)
        engine.stream()


# Errors stay where they belong


def test_bad_samples_leave_the_stream_as_it_was(recognizer: legato.Recognizer, fox: Samples) -> None:
    with Engine(recognizer) as engine, engine.stream() as stream:
        stream.accept(fox[:20000])
        with pytest.raises(legato.AudioError, match="NaN"):
            stream.accept(np.full(100, np.nan, np.float32))
        stream.accept(fox[20000:])
        assert stream.finish() == alone(recognizer, fox)


def test_a_failing_row_fails_alone(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    german = recognizer.bundle.prompt_slot("de-DE")
    gate.poisoned = lambda state: state.prompt == german and state.done >= 4
    clips = clips_of(speech, 3)
    with Engine(recognizer) as engine:
        streams = [engine.stream(language=name) for name in ("en-US", "de-DE", "fr-FR")]
        for stream, clip in zip(streams, clips, strict=True):
            stream.accept(clip)
        gate.open()
        with pytest.raises(legato.EngineError, match="poisoned"):
            streams[1].finish()
        with pytest.raises(legato.EngineError, match="poisoned"):
            streams[1].accept(clips[1])
        gate.poisoned = lambda state: False
        assert streams[0].finish() == alone(recognizer, clips[0], language="en-US")
        assert streams[2].finish() == alone(recognizer, clips[2], language="fr-FR")
        assert engine.open_streams == 0


def test_closing_a_stream_in_the_middle_of_a_step(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    with Engine(recognizer, max_streams=2) as engine:
        leaving, staying = engine.stream(), engine.stream()
        leaving.accept(speech[:20000])
        gate.wait_for_a_step()
        leaving.close()
        leaving.close()
        assert engine.open_streams == 1
        with pytest.raises(legato.EngineError, match="closed"):
            leaving.accept(speech[:100])
        with pytest.raises(legato.EngineError, match="closed"):
            leaving.poll()
        with pytest.raises(legato.EngineError, match="closed"):
            leaving.finish()
        staying.accept(speech[:20000])
        gate.open()
        assert staying.finish() == alone(recognizer, speech[:20000])


def test_closing_wakes_whoever_waits(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    with Engine(recognizer, max_queued_seconds=1) as engine, ThreadPoolExecutor(2) as pool:
        stream = engine.stream()
        stream.accept(speech[:16000])
        gate.wait_for_a_step()
        sending = pool.submit(stream.accept, speech[:16000])
        taking = pool.submit(list, stream)
        stream.close()
        for waiting in (sending, taking):
            with pytest.raises(legato.EngineError, match="closed"):
                waiting.result(60)
        gate.open()


def test_a_finished_stream_says_so(recognizer: legato.Recognizer, fox: Samples) -> None:
    with Engine(recognizer) as engine, engine.stream() as stream:
        stream.accept(fox)
        stream.finish()
        with pytest.raises(legato.EngineError, match="finished"):
            stream.accept(fox)


# The end of the engine


def test_closing_the_engine_finishes_what_is_queued(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    engine = Engine(recognizer)
    streams = [engine.stream() for _ in range(3)]
    for stream, clip in zip(streams, clips_of(speech, 3), strict=True):
        stream.accept(clip)
    gate.open()
    engine.close()
    engine.close()
    for stream, clip in zip(streams, clips_of(speech, 3), strict=True):
        assert stream.poll() == alone(recognizer, clip)
    with pytest.raises(legato.EngineError, match="closed"):
        engine.stream()


def test_an_exception_cancels_the_streams(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    with pytest.raises(KeyError), Engine(recognizer) as engine:
        stream = engine.stream()
        stream.accept(speech)
        gate.open()
        raise KeyError
    with pytest.raises(legato.EngineError, match="closed"):
        while True:
            stream.poll()


def test_a_failing_hook_is_only_logged(
    recognizer: legato.Recognizer, fox: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(step: Step) -> None:
        raise OSError("full")

    with Engine(recognizer, on_step=fail) as engine, engine.stream() as stream:
        stream.accept(fox)
        assert stream.finish() == alone(recognizer, fox)
    assert "on_step" in caplog.text


# Memory


def test_streams_keep_no_caches_but_their_own(recognizer: legato.Recognizer, speech: Samples, gate: Gate) -> None:
    """Streams that share a block of caches are parted when some of them go on or leave."""

    def rows(stream: legato.EngineStream) -> int:
        arrays = engine._registry._slots[stream._mailbox].state.audio.encoder.caches.arrays
        return arrays[0].shape[1] if arrays else 0

    with Engine(recognizer) as engine:
        starter, gone, idle, *going = (engine.stream() for _ in range(5))
        starter.accept(speech[:6000])
        gate.wait_for_a_step()
        for stream in (gone, idle, *going):
            stream.accept(speech[:6000])
        gate.let_one()
        gate.wait_for_a_step()
        gone.close()
        for stream in going:
            stream.accept(speech[6000:12000])
        gate.let_one()
        gate.wait_for_a_step()
        assert [len(batch) for batch in gate.batches] == [1, 4, 2]
        assert [rows(stream) for stream in (starter, gone, idle, *going)] == [1, 0, 1, 4, 4]
        gate.open()
        assert idle.finish() == alone(recognizer, speech[:6000])
        for stream in going:
            assert stream.finish() == alone(recognizer, speech[:12000])
        assert rows(idle) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_child_cannot_use_the_engine(recognizer: legato.Recognizer, fox: Samples) -> None:
    with Engine(recognizer) as engine, engine.stream() as stream:
        stream.accept(fox[:8000])
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            said = []
            for use in (lambda: stream.accept(fox), stream.poll, stream.finish, engine.stream):
                try:
                    use()
                except legato.EngineError as error:
                    said.append(str(error))
            stream.close()
            engine.close()
            os.write(write, "\n".join(said).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as answers:
            lines = answers.read().splitlines()
        os.waitpid(child, 0)
        assert len(lines) == 4
        assert all("another process" in line for line in lines)
        stream.accept(fox[8000:])
        assert stream.finish() == alone(recognizer, fox)


def test_a_stream_that_nobody_holds_frees_its_place(recognizer: legato.Recognizer) -> None:
    import gc

    async def drop(engine: Engine) -> None:
        engine.open_async()

    with Engine(recognizer, max_streams=1) as engine:
        for _ in range(3):
            with pytest.warns(ResourceWarning, match="was not closed"):
                engine.stream().accept(np.zeros(1600, np.float32))
                gc.collect()
        with pytest.warns(ResourceWarning, match="was not closed"):
            asyncio.run(drop(engine))
            gc.collect()
        with engine.stream() as stream:
            assert engine.open_streams == 1
            stream.finish()
        assert engine.open_streams == 0
