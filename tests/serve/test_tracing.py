"""Spans of a server, as a collector receives them over HTTP."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

import legato
from legato.audio.source import read_audio
from legato.serve.tracing import open_tracing
from tests.support.command import environment
from tests.support.paths import SAMPLES
from tests.support.server import Server

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra 'otel' is not installed")

PARENT, TRACE = "00f067aa0ba902b7", "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


class Collector(HTTPServer):
    """Accepts spans as OTLP over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.delay = 0.0
        super().__init__(("127.0.0.1", 0), _Receive)
        self.url = f"http://127.0.0.1:{self.server_port}"

    @property
    def spans(self) -> list[Any]:
        return [span for resource in self._resources() for scope in resource.scope_spans for span in scope.spans]

    @property
    def services(self) -> set[str]:
        return {_values(resource.resource)["service.name"] for resource in self._resources()}

    def _resources(self) -> Iterator[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        for body in self.bodies:
            yield from ExportTraceServiceRequest.FromString(body).resource_spans


class _Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        time.sleep(self.server.delay)
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _values(owner: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in owner.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_collector_gets_streams_files_and_steps(
    collector: Collector, tmp_path: Path, recognizer: legato.Recognizer
) -> None:
    clip = SAMPLES / "en.flac"
    samples = read_audio(clip)
    with Server(
        tmp_path, "--log-transcripts", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HTTP_TRACES_COMPRESSION="none",
    ) as server:  # fmt: skip
        with connect(f"{server.socket_url}/v1/stream?language=en", additional_headers=CALLER) as live:
            live.send((samples * 32767).astype("<i2").tobytes())
            live.send(json.dumps({"type": "end"}))
            stream = json.loads(live.recv())["id"]
            text = [json.loads(message) for message in live][-1]["text"]
        form = {"model": "whisper-1", "language": "en"}
        for content, status in ((clip.read_bytes(), 200), (b"no sound", 400)):
            answer = httpx.post(
                f"{server.url}/v1/audio/transcriptions", files={"file": content}, data=form, headers=CALLER, timeout=60
            )
            assert answer.status_code == status
        assert server.stop() == 0
    assert collector.services == {"legato"}
    kinds = ("stream", "file", "step")
    spans = {kind: [span for span in collector.spans if span.name == f"legato.{kind}"] for kind in kinds}
    [live_span] = spans["stream"]
    values = _values(live_span)
    seconds = round(len(samples) / 16000, 2)
    assert values.pop("legato.model") == "embedded"
    assert values == {
        "legato.stream.id": stream, "legato.interface": "native", "legato.language": "en",
        "legato.audio.seconds": seconds, "legato.reason": "done", "legato.drained": False,
    }  # fmt: skip
    good, bad = sorted(spans["file"], key=lambda span: span.status.code)
    assert _values(good)["legato.audio.seconds"] == pytest.approx(seconds, abs=0.01)
    assert (bad.status.code, _values(bad)) == (2, {"error.type": "AudioError"})
    for span in (live_span, good, bad):
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        assert span.start_time_unix_nano < span.end_time_unix_nano
    frames = sum(_values(span)["legato.rows"] * _values(span)["legato.frames"] for span in spans["step"])
    assert frames >= 2 * seconds / 0.08 - 2  # of the stream and of the file
    assert len(text) > 20
    everything = b"".join(collector.bodies)
    assert not any(word.encode() in everything for word in text.split() if len(word) > 5)


def test_a_slow_collector_gets_the_last_spans(collector: Collector, tmp_path: Path) -> None:
    collector.delay = 1.5
    with Server(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as server:
        with connect(f"{server.socket_url}/v1/stream?language=en") as live:
            live.send(json.dumps({"type": "end"}))
            assert list(live)
        assert server.stop() == 0
    assert "legato.stream" in {span.name for span in collector.spans}


def test_a_collector_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Server(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=gone, OTEL_BSP_SCHEDULE_DELAY="100") as server:
        with (SAMPLES / "en.flac").open("rb") as file:
            answer = httpx.post(
                f"{server.url}/v1/audio/transcriptions", files={"file": file}, data={"model": "whisper-1"}, timeout=60
            )
        assert answer.json()["text"]
        assert server.stop() == 0
    assert all(line.startswith("{") for line in server.lines)  # what OpenTelemetry says is JSON, too


def test_without_an_exporter_nothing_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, legato, legato.serve; legato.serve.create_app(legato.load('embedded'), legato.serve.Settings());"
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(tmp_path), check=True)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf only, not by grpc"),
        ({"OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_TRACES_EXPORTER": "none"}, ""),
        ({}, "configured but not installed"),
    ],
)
def test_what_is_not_sent_is_said(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **variables}.items():
        monkeypatch.setenv(name, value)
    assert open_tracing() is None
    assert message in caplog.text
    assert bool(caplog.text) == bool(message)


def test_a_program_with_its_own_provider_gets_the_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    tracing = open_tracing()
    assert tracing is not None
    tracing.record("legato.step", 1.5, {"legato.rows": 2})
    tracing.close()
    [span] = exporter.get_finished_spans()
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == 1_500_000_000
    assert provider.get_tracer("still open").start_span("more").is_recording()
