"""The conversation that all live protocols share, with a protocol of its own: words in, words out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from legato.errors import AudioError
from legato.serve.core.conversation import Conversation
from legato.serve.core.session import Session
from legato.serve.errors import ApiError, ClientLeftError, IdleError, InvalidValueError, SlowReaderError
from legato.types import Event, Final


class FakeSession(SimpleNamespace):
    """A session whose events are the words that were accepted; its end is an event too."""

    def __init__(self) -> None:
        super().__init__(drained=False, failure=None, events=asyncio.Queue(), ends=0)

    async def accept(self, word: str) -> None:
        self.events.put_nowait(word)

    async def end(self) -> None:
        self.ends += 1
        self.events.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (event := await self.events.get()) is not None:
            yield event


class FakeConnection:
    """A connection with a client that sends words, or raises errors, and stays silent after the last."""

    def __init__(self, *script: str | Exception) -> None:
        self.script = list(script)
        self.sent: list[str] = []
        self.closed: list[tuple[int, str]] = []
        self.deaf = False

    async def receive(self) -> str:
        await asyncio.sleep(0.01)  # so that the events of one word are told before the next
        if not self.script:
            await asyncio.Event().wait()
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def send(self, message: str, /) -> None:
        if self.deaf:
            raise SlowReaderError(1.0)
        self.sent.append(message)

    async def close(self, code: int, reason: str, *messages: str) -> None:
        self.sent += messages
        self.closed.append((code, reason))


class Words(Conversation[str, str]):
    finishes_after_error = True

    async def greet(self) -> None:
        await self.connection.send("hello")

    async def obey(self, message: str) -> bool:
        if message == "wrong":
            raise InvalidValueError("word", "It is wrong.")
        if message == "fault":
            raise ZeroDivisionError
        if message == "end":
            return False
        for session in self.sessions:
            await cast("FakeSession", session).accept(message)
        return True

    async def tell(self, event: Event | str, channel: int) -> None:
        assert not isinstance(event, Final)
        await self.connection.send(f"{channel}: {event}")

    def report(self, error: ApiError) -> Sequence[str]:
        return [f"error {error.code}"]


class HastyWords(Words):
    finishes_after_error = False


def talk(
    *script: str | Exception, kind: type[Words] = Words, sessions: int = 1, **more: Any
) -> tuple[FakeConnection, list[FakeSession]]:
    async def run() -> tuple[FakeConnection, list[FakeSession]]:
        connection = FakeConnection(*script)
        found = [FakeSession() for _ in range(sessions)]
        async with asyncio.timeout(10):
            await kind(connection, cast("list[Session]", found), **more).run()
        return connection, found

    return asyncio.run(run())


def test_all_is_told_before_the_end() -> None:
    connection, [session] = talk("one", "two", "end")
    assert connection.sent == ["hello", "0: one", "0: two"]
    assert connection.closed == [(1000, "")]
    assert (session.ends, session.failure) == (1, None)


def test_a_message_may_come_before_the_sessions_are_open() -> None:
    connection, _ = talk("two", "end", first="one")
    assert connection.sent == ["hello", "0: one", "0: two"]


def test_every_session_is_told_and_ended() -> None:
    connection, sessions = talk("one", "end", sessions=3)
    assert sorted(connection.sent) == ["0: one", "1: one", "2: one", "hello"]
    assert [session.ends for session in sessions] == [1, 1, 1]


def test_a_wrong_message_ends_a_conversation_after_its_audio_or_at_once() -> None:
    connection, [session] = talk("one", "wrong")
    assert connection.sent == ["hello", "0: one", "error invalid_value"]
    assert connection.closed == [(1008, "invalid_value: word: It is wrong.")]
    assert session.ends == 1
    assert isinstance(session.failure, ApiError)
    connection, [session] = talk("one", "wrong", kind=HastyWords)
    assert (connection.sent[-1], session.ends) == ("error invalid_value", 0)


@pytest.mark.parametrize("kind", [Words, HastyWords])
def test_an_idle_end_is_a_normal_one_after_all_events(kind: type[Words]) -> None:
    connection, [session] = talk("one", IdleError(1.0), kind=kind)
    assert connection.sent == ["hello", "0: one"]
    assert connection.closed == [(1000, "idle: No message was received for 1 s.")]
    assert session.ends == 1
    assert isinstance(session.failure, IdleError)


def test_an_error_of_the_library_or_an_unexpected_one_ends_it_at_once(caplog: pytest.LogCaptureFixture) -> None:
    connection, [session] = talk(AudioError("broken"))
    assert (connection.sent, session.ends) == (["hello", "error invalid_value"], 0)
    assert not caplog.records
    connection, [session] = talk("fault")
    assert connection.sent == ["hello", "error internal_error"]
    assert connection.closed == [(1011, "internal_error: The server failed; its log says why.")]
    assert isinstance(session.failure, ZeroDivisionError)
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_client_that_leaves_is_told_nothing() -> None:
    connection, [session] = talk("one", ClientLeftError())
    assert (connection.sent, connection.closed) == (["hello", "0: one"], [])
    assert session.failure is None


def test_a_client_that_does_not_read_is_not_waited_for() -> None:
    class Deaf(Words):
        async def tell(self, event: Event | str, channel: int) -> None:
            self.connection.deaf = True  # type: ignore[attr-defined]
            await super().tell(event, channel)

    connection, [session] = talk("one", kind=Deaf)
    assert connection.closed == [(1008, "slow_reader: The client read nothing for 1 s.")]
    assert isinstance(session.failure, SlowReaderError)


def test_a_shutdown_closes_the_connection_after_the_last_event() -> None:
    class Draining(Words):
        async def greet(self) -> None:
            await super().greet()
            for session in cast("Sequence[FakeSession]", self.sessions):
                await session.accept("last")
                session.drained = True
                await session.end()

    connection, _ = talk(kind=Draining)
    assert connection.sent == ["hello", "0: last"]
    assert connection.closed == [(1001, "The server is shutting down.")]
