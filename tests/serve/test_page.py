"""The page, in headless Chromium with a microphone that hears a clip."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import srt
import webvtt
from playwright.sync_api import Browser, Page
from websockets.sync.client import connect

import legato
from legato.audio.source import SAMPLE_RATE, read_audio
from legato.text.formats import WRITERS
from tests.support.browser import Visit, chromium, write_wav
from tests.support.live import alike
from tests.support.paths import SAMPLES
from tests.support.server import Server

LINES = ".transcript li p"


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the microphone hears again and again: German words, and silence for their segment to end in."""
    silence = np.zeros(SAMPLE_RATE, np.float32)
    path = tmp_path_factory.mktemp("microphone") / "de.wav"
    write_wav(path, np.concatenate([silence, read_audio(SAMPLES / "de.flac"), silence, silence]), SAMPLE_RATE)
    return path


@pytest.fixture(scope="module")
def browser(heard: Path) -> Iterator[Browser]:
    with chromium(heard) as running:
        yield running


@pytest.fixture(scope="module")
def recognizer() -> legato.Recognizer:
    return legato.load("embedded", threads=1)


@pytest.fixture(scope="module")
def expected(recognizer: legato.Recognizer, heard: Path) -> str:
    """What the microphone's file says."""
    text = recognizer.transcribe(heard, language="de-DE", endpoint=legato.Endpointing()).text
    assert len(text.split()) >= 4
    return text


def wait_for_line(page: Page, text: str) -> None:
    """Wait for a settled line with this text, as far as a browser's other samples of the same sound give it.

    The first line may lack its beginning, but the clip comes again.
    """
    until = time.monotonic() + 90
    while not any(alike(line, text) for line in page.locator(LINES).all_text_contents()):
        assert time.monotonic() < until, page.locator(LINES).all_text_contents()
        page.wait_for_timeout(100)


def download(page: Page, name: str, start: str = "") -> str:
    """Press a download button and read the file."""
    with page.expect_download() as started:
        page.get_by_role("button", name=f"Download {start}").and_(
            page.get_by_role("button", name=f"as {name}")
        ).first.press("Enter")
    assert started.value.suggested_filename.endswith(f".{name}")
    return started.value.path().read_text("utf-8")


def test_captions_by_keyboard_alone(browser: Browser, server: Server, expected: str) -> None:
    with Visit(browser, server.url) as visit:
        page = visit.ready()
        visit.tab_to("#language")
        page.keyboard.type("German")
        assert page.input_value("#language") == "de-DE"
        visit.tab_to("#microphone")
        page.keyboard.press("Enter")
        page.wait_for_selector(".text .partial:not(:empty)")
        assert page.inner_text("#lag-text").endswith(" s")
        wait_for_line(page, expected)
        page.keyboard.press("Enter")
        page.wait_for_selector("#status:has-text('Stopped')")
        assert page.get_attribute(LINES, "lang") == "de-DE"
        assert "% sure" in (page.get_attribute(f"{LINES} .word", "title") or "")
        visit.tab_to(".downloads button")
        with page.expect_download() as started:
            page.keyboard.press("Enter")
        cues = list(srt.parse(started.value.path().read_text("utf-8")))
        assert [" ".join(cue.content.split()) for cue in cues] == page.locator(LINES).all_text_contents()
        visit.tab_to(".remove")
        page.keyboard.press("Enter")
        assert page.locator(".transcript").count() == 0
        assert page.evaluate("document.activeElement.id") == "microphone"


def test_a_browser_that_does_not_resample(browser: Browser, server: Server, expected: str) -> None:
    stubborn = """
        const Native = AudioContext;
        AudioContext = class extends Native {
            constructor(options) {
                if (options?.sampleRate) throw new DOMException("no resampling", "NotSupportedError");
                super();
            }
        };
    """
    with Visit(browser, server.url, script=stubborn) as visit:
        page = visit.ready()
        page.select_option("#language", "de-DE")
        page.click("#microphone")
        wait_for_line(page, expected)


def test_files(browser: Browser, server: Server, recognizer: legato.Recognizer) -> None:
    with Visit(browser, server.url, "status of 400") as visit:
        page = visit.ready()
        page.evaluate(
            """bytes => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], "von hier.flac", { type: "audio/flac" }));
                for (const kind of ["dragover", "drop"])
                    document.getElementById("drop").dispatchEvent(
                        new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
            }""",
            list((SAMPLES / "it.flac").read_bytes()),
        )
        page.wait_for_selector("#status:has-text('von hier.flac is done')")
        transcript = recognizer.transcribe(SAMPLES / "it.flac", endpoint=legato.Endpointing())
        assert transcript.text
        assert page.locator(LINES).all_text_contents() == [each.text for each in transcript.segments]
        for name in ("txt", "srt", "vtt"):
            assert download(page, name, "von hier") == WRITERS[name](transcript)
        assert [cue.text for cue in webvtt.from_string(download(page, "vtt")).captions]
        values = json.loads(download(page, "json"))
        assert (values["text"], values["language"], values["file"]) == (transcript.text, "it-IT", "von hier.flac")
        assert [word["text"] for word in values["words"]] == [word.text for word in transcript.words]
        visit.check_accessibility()

        visit.tab_to("#choose")
        with page.expect_file_chooser() as choosing:
            page.keyboard.press("Enter")
        choosing.value.set_files([SAMPLES / "en.flac", SAMPLES.parent / "samples" / "samples.json"])
        page.wait_for_selector("#status:has-text('en.flac is done')")
        page.wait_for_selector(".transcript .problem:visible")  # the second is no audio
        assert page.locator(".transcript").count() == 3


def test_light_and_dark(browser: Browser, server: Server) -> None:
    brightness = "getComputedStyle(document.documentElement).backgroundColor.match(/[0-9.]+/g).slice(0, 3).map(Number)"

    def is_dark() -> bool:
        return float(sum(page.evaluate(brightness))) < 3 * 128

    for dark in (False, True):
        with Visit(browser, server.url, dark=dark) as visit:
            page = visit.ready()
            assert is_dark() is dark
            page.set_input_files("#files", SAMPLES / "fr.flac")
            page.wait_for_selector("#status:has-text('fr.flac is done')")
            visit.check_accessibility()
            page.set_viewport_size({"width": 320, "height": 600})
            assert page.evaluate("document.documentElement.scrollWidth") <= 320
            page.click("#theme")
            assert is_dark() is not dark
            assert page.get_attribute("#theme", "aria-pressed") == str(not dark).lower()
            page.reload()
            visit.ready()
            assert is_dark() is not dark


def test_no_microphone(browser: Browser, server: Server) -> None:
    for name, words in (("NotFoundError", "No microphone"), ("NotAllowedError", "blocked")):
        script = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{name}'))"
        with Visit(browser, server.url, script=script) as visit:
            page = visit.ready()
            page.click("#microphone")
            page.wait_for_selector(f"[role=alert]:has-text('{words}')")
            assert page.inner_text("#microphone") == "Start captions"


def test_a_key_is_asked_for(browser: Browser, tmp_path: Path) -> None:
    key = "a/key+with=signs"  # that no subprotocol may have
    with Server(tmp_path, LEGATO_API_KEYS=key) as server, Visit(browser, server.url, "status of 401") as visit:
        page = visit.page
        page.wait_for_selector("#key:visible")
        visit.check_accessibility()
        for value in ("wrong", key):
            page.fill("#key-value", value)
            page.keyboard.press("Enter")
            if value != key:
                page.wait_for_selector("[role=alert]:has-text('not valid')")
        visit.ready()
        page.set_input_files("#files", SAMPLES / "es.flac")
        page.wait_for_selector("#status:has-text('es.flac is done')")
        page.click("#microphone")
        page.wait_for_selector("#status:has-text('Listening')")
        server.stop(signal.SIGKILL)
        assert "key+with" not in "\n".join(server.lines)


def test_a_server_that_is_full(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, "--max-streams", 1) as server, Visit(browser, server.url) as visit:
        page = visit.ready()
        with connect(f"{server.socket_url}/v1/stream?language=de") as other:
            assert json.loads(other.recv(60))["type"] == "ready"
            page.click("#microphone")
            page.wait_for_selector("[role=alert]:has-text('1 live streams')")
        page.wait_for_function(
            "async () => /legato_streams.*native.* 0/.test(await (await fetch('metrics')).text())", polling=200
        )
        page.click("#again")
        page.wait_for_selector("#status:has-text('Listening')")
        assert page.is_hidden("#problem")


def test_a_server_that_goes_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path) as server, Visit(browser, server.url, "ERR_CONNECTION") as visit:
        page = visit.ready()
        page.select_option("#language", "de-DE")
        page.click("#microphone")
        page.wait_for_selector(".text .partial:not(:empty)")
        server.stop(signal.SIGKILL)
        page.wait_for_selector("[role=alert]:has-text('connection to the server was lost')")
        before = page.locator(LINES).count()
        assert page.locator(LINES).first.inner_text()  # though it never settled
        page.click("#again:has-text('Reconnect')")
        page.wait_for_selector("[role=alert]:has-text('cannot be reached')")
        with Server(tmp_path, "--port", server.port):
            page.click("#again")
            page.wait_for_function("([lines, n]) => document.querySelectorAll(lines).length > n", arg=[LINES, before])
            assert page.locator(".transcript").count() == 1
            starts = [segment["start"] for segment in json.loads(download(page, "json"))["segments"]]
            assert starts == sorted(starts)
            assert len(starts) > before
