"""A transcript as OpenAI's server-sent events, while the file is recognized."""

import json
from collections.abc import AsyncIterator, Collection, Sequence

from legato.serve.core.file_job import FileJob
from legato.serve.errors import ApiError
from legato.serve.openai.transcription_format import DiarizedTranscription, languages, log_probs, usage
from legato.serve.openai.transcription_request import TranscriptionRequest
from legato.text.words import join_texts
from legato.types import Partial, Segment, Token


class TranscriptEvents:
    """Writes the events of a file.

    Args:
        tags: ids of the tokens that are language tags.
    """

    def __init__(self, job: FileJob, request: TranscriptionRequest, tags: Collection[int]) -> None:
        self._job = job
        self._logprobs = request.logprobs
        self._tags = tags
        self._closed: list[str] = []
        self._sent = ""

    async def lines(self) -> AsyncIterator[str]:
        """Yield the events: `transcript.text.delta`, and finally `transcript.text.done` or `error`."""
        async for event in self._job:
            if isinstance(event, Partial | Segment):
                for line in self._delta(event):
                    yield line
        try:
            result = await self._job.result()
        except ApiError as error:
            yield _event("error", **error.as_dict())
            return
        transcript = result.transcript
        if transcript.text.startswith(self._sent) and transcript.text != self._sent:
            yield _event("transcript.text.delta", delta=transcript.text[len(self._sent) :])
        yield _event(
            "transcript.text.done",
            text=transcript.text,
            languages=[each.model_dump() for each in languages(transcript)],
            usage=usage(transcript).model_dump(),
            logprobs=self._listed(transcript.tokens),
            warnings=result.warnings or None,
        )
        yield "data: [DONE]\n\n"

    def _delta(self, event: Partial | Segment) -> list[str]:
        """Return an event for the text that is new, if any is."""
        text = join_texts([*self._closed, event.text])
        tokens: Sequence[Token] = ()
        if isinstance(event, Partial):
            tokens = event.tokens
        elif event.text:
            self._closed.append(event.text)
        if len(text) <= len(self._sent) or not text.startswith(self._sent):
            return []
        delta, self._sent = text[len(self._sent) :], text
        return [_event("transcript.text.delta", delta=delta, logprobs=self._listed(tokens))]

    def _listed(self, tokens: Sequence[Token]) -> list[dict[str, object]] | None:
        return [each.model_dump() for each in log_probs(tokens, self._tags)] if self._logprobs else None


def diarized_events(transcription: DiarizedTranscription) -> str:
    """Return the events of a transcript with speakers, which is complete when they are sent."""
    segments = [_event(**segment.model_dump()) for segment in transcription.segments]
    done = _event(
        "transcript.text.done",
        text=transcription.text,
        usage=transcription.usage.model_dump(),
        warnings=transcription.warnings,
    )
    return "".join([*segments, done, "data: [DONE]\n\n"])


def _event(type: str, **values: object) -> str:  # noqa: A002 - the name of the field
    """Return a server-sent event without the values that are None."""
    present = {key: value for key, value in values.items() if value is not None}
    return f"data: {json.dumps({'type': type, **present}, ensure_ascii=False)}\n\n"
