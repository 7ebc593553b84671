"""Deepgram's live interface: `/v1/listen`.

A text that grows is an interim result, a segment a final one; where it ended in a pause, or was asked for by `Finalize`
(which is always answered), speech is final too.
"""

import asyncio
import hashlib
import json
import logging
import uuid
from contextlib import AsyncExitStack
from importlib.metadata import version

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from legato.decode.phrase_trie import PhraseTrie
from legato.errors import EngineError, LegatoError
from legato.recognizer import Options, Recognizer
from legato.serve.auth import subprotocol_for
from legato.serve.core.audio_format import Wire
from legato.serve.core.container import Container
from legato.serve.core.service import Service, service_of
from legato.serve.core.session import Session
from legato.serve.core.sockets import converse, part, receive, send
from legato.serve.deepgram.messages import Messages
from legato.serve.deepgram.options import ListenOptions, listen_options
from legato.serve.errors import ApiError, as_api_error
from legato.text.words import split_words
from legato.types import Partial, Segment, Token

logger = logging.getLogger("legato.serve")
router = APIRouter()

_INTERFACE = "deepgram"


@router.websocket("/v1/listen")
async def listen(websocket: WebSocket) -> None:
    """Deepgram's interface for live streams.

    Its query may hold `encoding` (linear16, mulaw, alaw; without one a container is expected), `sample_rate`,
    `channels`, `multichannel`, `language`, `interim_results`, `endpointing`, `utterance_end_ms`, `vad_events`,
    `keyterm` and `keywords`. Messages are audio, `KeepAlive`, `Finalize`, `Configure` and `CloseStream`.
    """
    service = service_of(websocket)
    request_id = str(uuid.uuid4())
    model = service.settings.model
    messages = Messages(request_id, model, version("legato"), 1)
    try:
        options = listen_options(websocket.query_params)
        wires = _wires(options)
        messages = Messages(request_id, model, version("legato"), len(wires))
        given = Options(endpoint=options.rules, phrases=options.phrases)
        if options.language is not None:
            given["language"] = options.language
        async with AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(service.live.open(_INTERFACE, each, given)) for each in wires]
            await Conversation(websocket, service, sessions, options, messages, request_id).run()
    except ApiError as error:
        if websocket.application_state is WebSocketState.CONNECTING:
            await _refuse(websocket, error, messages, request_id)


def _wires(options: ListenOptions) -> list[Wire | Container]:
    """Give the wire of every channel that is recognised for itself."""
    wire = options.wire
    if wire is None or not options.multichannel:
        return [wire or Container()]
    return [Wire(wire.encoding, wire.rate, wire.channels, channel) for channel in range(wire.channels)]


class Conversation:
    """One client and its sessions, a session for each channel that is recognised for itself."""

    def __init__(
        self,
        websocket: WebSocket,
        service: Service,
        sessions: list[Session],
        options: ListenOptions,
        messages: Messages,
        request_id: str,
    ) -> None:
        self._websocket = websocket
        self._service = service
        self._sessions = sessions
        self._options = options
        self._messages = messages
        self._request_id = request_id
        self._writing = asyncio.Lock()
        self._audio = hashlib.sha256()
        self._trouble: ApiError | None = None

    async def run(self) -> None:
        """Speak with the client until one of both is done.

        Raises:
            ApiError: it did not end well; the client knows.
        """
        try:
            headers = [(b"dg-request-id", self._request_id.encode())]
            await self._websocket.accept(subprotocol_for(self._websocket, "token", "bearer"), headers)
            await converse(self._sessions[0], self._read(), self._write())
        except WebSocketDisconnect:
            return
        except Exception as error:
            self._trouble = as_api_error(error)
            if self._trouble.status >= 500:
                logger.exception("A conversation failed")
        trouble = self._trouble
        if trouble is not None:
            text = self._messages.error(trouble.code or "", trouble.message)
            await part(self._websocket, trouble.close_code, trouble.code or "", text)
            raise trouble
        if any(session.drained for session in self._sessions):
            await part(self._websocket, 1001, "The server is shutting down.")
        else:
            await part(self._websocket, 1000, "")

    # From the client

    async def _read(self) -> None:
        """Obey the client's messages until it is done; what was heard before an error is recognised all the same."""
        try:
            while True:
                async with self._writing:  # a client that does not read is not heard either
                    pass
                message = await receive(self._websocket, self._service.settings.idle_seconds)
                if not message:  # of old the same as CloseStream
                    break
                if isinstance(message, bytes):
                    self._audio.update(message)
                    for session in self._sessions:
                        await session.hear(message)
                elif await self._obey(message):
                    break
            for session in self._sessions:
                await session.end()
        except ApiError as error:
            if error.code == "slow_reader":  # nobody reads what could still be told
                raise
            self._trouble = error
            for session in self._sessions[1:]:
                await session.end()

    async def _obey(self, text: str) -> bool:
        """Obey a message; tells whether it was the last."""
        try:
            message = json.loads(text)
            kind = str(message.get("type"))
        except (ValueError, RecursionError, AttributeError):
            message, kind = {}, ""
        if kind == "Finalize":
            channel = message.get("channel")
            for number, session in enumerate(self._sessions):
                if channel is None or channel == number:
                    await session.commit()
            if channel is None or channel in list(range(len(self._sessions))):
                return False
            await self._send(self._messages.error("SchemaError", "There is no such channel.", text))
        elif kind == "Configure":
            await self._configure(message.get("keyterms"))
        elif kind not in {"KeepAlive", "CloseStream"}:
            known = "KeepAlive, Finalize, Configure and CloseStream"
            await self._send(self._messages.error("SchemaError", f"Of messages {known} are understood.", text))
        return kind == "CloseStream"

    async def _configure(self, keyterms: object) -> None:
        """Take up other phrases."""
        try:
            if keyterms is not None:
                phrases = await self._compile(keyterms)
                for session in self._sessions:
                    session.set_phrases(phrases)
        except EngineError:
            raise
        except (ApiError, LegatoError) as error:
            await self._send(self._messages.not_configured(as_api_error(error)))
        else:
            await self._send(self._messages.configured(list(keyterms) if isinstance(keyterms, list) else None))

    async def _compile(self, keyterms: object) -> PhraseTrie | None:
        """Prepare phrases.

        Raises:
            ApiError, PhraseError: they are none, too many, or the model cannot spell one.
        """
        if not isinstance(keyterms, list) or not all(isinstance(each, str) for each in keyterms):
            raise ApiError(400, "keyterms: It must be a list of texts.", code="invalid_value", param="keyterms")
        most = self._service.settings.max_phrases
        if len(keyterms) > most:
            raise ApiError(400, f"keyterms: At most {most} can be given.", code="too_many_phrases", param="keyterms")
        return await asyncio.to_thread(self._service.engine.recognizer.compile_phrases, keyterms)

    # To the client

    async def _write(self) -> None:
        """Tell what becomes of the audio, and at last how much it was."""
        recognizer = self._service.engine.recognizer
        channels = [_Channel(n, self._options, self._messages, recognizer) for n in range(len(self._sessions))]
        writers = [asyncio.ensure_future(self._write_channel(channel)) for channel in channels]
        try:
            await asyncio.gather(*writers)
        finally:
            for writer in writers:
                writer.cancel()
        await self._send(self._messages.metadata(self._audio.hexdigest(), self._sessions[0].heard_seconds))

    async def _write_channel(self, channel: "_Channel") -> None:
        async for event in self._sessions[channel.number]:
            if isinstance(event, Partial):
                texts = channel.grow(event)
            else:
                texts = channel.close(event) if isinstance(event, Segment) else []
            for text in texts:
                await self._send(text)

    async def _send(self, text: str) -> None:
        async with self._writing:
            await send(self._websocket, text, self._service.settings.idle_seconds)


class _Channel:
    """Makes the messages of one channel from the events of its stream."""

    def __init__(self, number: int, options: ListenOptions, messages: Messages, recognizer: Recognizer) -> None:
        self.number = number
        self._options = options
        self._messages = messages
        self._recognizer = recognizer
        self._tokens: list[Token] = []
        self._border = 0.0
        self._speaking = False
        self._last_word: float | None = None

    def grow(self, event: Partial) -> list[str]:
        """Give the messages of a text that grew."""
        bundle, confidence = self._recognizer.bundle, self._recognizer.confidence
        new = [token for token in event.tokens if token.id not in bundle.language_tags]
        self._tokens += new
        if not event.text:
            return []
        texts = []
        if not self._speaking and self._options.vad_events:
            texts.append(self._messages.speech_started(self.number, self._tokens[0].time))
        self._speaking = True
        if self._options.interim:
            words = split_words(self._tokens, bundle.frame_seconds, confidence)
            sure = round(confidence.aggregate([word.confidence for word in words]), 4) if words else 0.0
            texts.append(self._messages.results(self.number, event.text, words, sure, self._border, event.time))
        return texts

    def close(self, segment: Segment) -> list[str]:
        """Give the messages of a segment that ended."""
        texts = []
        asked = segment.reason == "commit"
        if segment.text or asked:
            paused = segment.reason == "pause" and self._options.endpointing is not None
            texts.append(
                self._messages.results(
                    self.number, segment.text, segment.words, segment.confidence if segment.text else 0.0,
                    segment.start, segment.end,
                    final=True, speech_final=paused or asked or segment.reason == "end", from_finalize=asked,
                )
            )  # fmt: skip
        if segment.words:
            self._last_word = segment.words[-1].end
        quiet = segment.reason == "silence" or (segment.reason == "pause" and self._options.ends_with_speech)
        if quiet and self._last_word is not None and self._options.utterance_end is not None:
            texts.append(self._messages.utterance_end(self.number, self._last_word))
            self._last_word = None
        self._tokens = []
        self._border = segment.end
        self._speaking = self._speaking and segment.reason == "length"
        return texts


async def _refuse(websocket: WebSocket, error: ApiError, messages: Messages, request_id: str) -> None:
    """Answer the opening of a connection with an error, as Deepgram does."""
    told = error.message.encode("ascii", "replace").decode()[:500].replace("\n", " ").replace("\r", " ")
    headers = {**error.headers, "dg-request-id": request_id, "dg-error": told}
    await websocket.receive()
    await websocket.send_denial_response(JSONResponse(messages.refusal(error), error.status, headers))
