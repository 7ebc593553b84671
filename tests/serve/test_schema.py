"""The HTTP interface does what its OpenAPI description says, whatever is sent to it."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.support.paths import SAMPLES
from tests.support.server import Server

SAMPLE = SAMPLES / "en.flac"

_SETTINGS = settings(max_examples=40, suppress_health_check=list(HealthCheck))
#: Random bytes are no audio, and random names no languages: valid by the description, refused all the same.
_NOT_CHECKED: list[CheckFunction] = [positive_data_acceptance]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_the_interface_is_as_described(server: Server, mode: GenerationMode) -> None:
    tried = []
    for operation in operations(server):
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # nothing in it could be wrong

        @_SETTINGS
        @given(case=operation.as_strategy(generation_mode=mode))
        def try_one(case: "schemathesis.Case[Any]") -> None:
            case.call_and_validate(excluded_checks=_NOT_CHECKED, timeout=60)

        try_one()
        tried.append(operation.path)
    assert "/v1/audio/transcriptions" in tried
    assert httpx.get(f"{server.url}/ready").status_code == 200


@pytest.mark.parametrize("form", ["json", "text", "srt", "vtt", "verbose_json"])
def test_whatever_is_valid_is_done(server: Server, form: str) -> None:
    [operation] = (each for each in operations(server) if each.path == "/v1/audio/transcriptions")
    sample = SAMPLE.read_bytes()

    @settings(_SETTINGS, max_examples=10)
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def try_one(case: "schemathesis.Case[Any]") -> None:
        # What the description cannot know: audio, our model, and the languages and letters that the model has.
        free = {"language", "prompt", "keywords[]", "chunking_strategy"}
        fields: Any = case.body
        if form != "verbose_json":
            free.add("timestamp_granularities[]")
        if form != "json":
            free.add("include[]")
        if form not in {"json", "text"}:
            free.add("stream")
        body: Any = {key: value for key, value in fields.items() if key not in free}
        case.body = body | {"file": sample, "model": "whisper-1", "response_format": form}
        # What was put in by hand counts as altered there.
        answer = case.call_and_validate(excluded_checks=[negative_data_rejection], timeout=60)
        assert answer.status_code == 200, answer.text

    try_one()


def operations(server: Server) -> Iterator[Any]:
    """The operations of the server's description."""
    for found in schemathesis.openapi.from_url(f"{server.url}/openapi.json").get_all_operations():
        assert isinstance(found, Ok)
        yield found.ok()


def test_the_page_of_the_interfaces_needs_nothing_from_elsewhere(server: Server) -> None:
    answer = httpx.get(f"{server.url}/docs")
    assert answer.status_code == 200
    page = answer.text
    for path in httpx.get(f"{server.url}/openapi.json").json()["paths"]:
        assert path in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "<script" not in page
