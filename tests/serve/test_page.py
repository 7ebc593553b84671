"""The page, in headless Chromium with a microphone that hears a clip."""

import json
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import srt
import webvtt
from playwright.sync_api import Browser, Dialog, Page, Playwright, sync_playwright
from websockets.sync.client import connect

import legato
from legato.audio.source import SAMPLE_RATE, read_audio
from legato.model.registry import embedded_path
from legato.text.formats import WRITERS
from tests.support.browser import Visit, chromium, firefox, write_wav
from tests.support.live import alike
from tests.support.page_states import SIZES, refused, walk, write_talk
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
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright, heard: Path) -> Iterator[Browser]:
    with chromium(playwright, heard) as running:
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


def download(page: Page, name: str) -> str:
    """Press a download button and read the file."""
    with page.expect_download() as started:
        page.get_by_role("button", name=f"Download {name.upper()}").first.press("Enter")
    assert started.value.suggested_filename.endswith(f".{name}")
    return started.value.path().read_text("utf-8")


def warns(page: Page) -> bool:
    """Reload, and return whether the page warned. After a warning it stays."""
    seen: list[str] = []

    def stay(dialog: Dialog) -> None:
        dialog.dismiss()
        seen.append(dialog.type)

    def leave(_page: Page) -> None:
        seen.append("load")

    page.on("dialog", stay)
    page.on("load", leave)
    page.evaluate("setTimeout(() => location.reload())")
    until = time.monotonic() + 90
    while not seen:
        assert time.monotonic() < until
        page.wait_for_timeout(100)
    page.remove_listener("dialog", stay)
    page.remove_listener("load", leave)
    assert seen in (["beforeunload"], ["load"])
    return seen == ["beforeunload"]


def style(page: Page, selector: str, name: str) -> str:
    value: str = page.eval_on_selector(selector, "(element, name) => getComputedStyle(element)[name]", name)
    return value


def test_captions_by_keyboard_alone(browser: Browser, server: Server, expected: str) -> None:
    with Visit(browser, server.url) as visit:
        page = visit.ready()
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.tab_to("#language")
        page.keyboard.type("German")
        assert page.input_value("#language") == "de-DE"
        visit.tab_to("#microphone")
        page.keyboard.press("Enter")
        # Only the last word may still grow: the others look like settled text.
        page.wait_for_function("() => document.querySelector('.growing')?.textContent.split(' ').length > 2")
        assert style(page, ".growing", "color") == style(page, "h3", "color") != style(page, ".growing .open", "color")
        assert style(page, ".growing", "fontStyle") == "normal"
        assert " " not in page.inner_text(".growing .open")
        assert page.get_attribute(".text", "aria-live") == "polite"
        assert page.get_attribute(".growing", "aria-live") == "off"
        assert page.inner_text("#lag").endswith(" s")
        wait_for_line(page, expected)
        page.keyboard.press("Enter")
        page.wait_for_selector("#status:has-text('Stopped')")
        assert page.get_attribute(LINES, "lang") == "de-DE"
        visit.tab_to(".copy")
        page.keyboard.press("Enter")
        page.wait_for_selector(".copy:has-text('Copied')")
        lines = page.locator(LINES).all_text_contents()
        assert page.evaluate("navigator.clipboard.readText()") == "\n".join(lines)
        cues = list(srt.parse(download(page, "srt")))
        assert " ".join(word for cue in cues for word in cue.content.split()) == " ".join(lines)
        visit.tab_to(".remove")
        page.keyboard.press("Enter")
        assert page.locator(".transcript").count() == 0
        page.keyboard.press("Enter")  # undo
        assert page.locator(LINES).all_text_contents() == lines


def test_full_screen_captions(browser: Browser, server: Server) -> None:
    release = "release() { window.lock = null; }"
    locks = f"navigator.wakeLock.request = async (kind) => {{ window.lock = kind; return {{ {release} }}; }};"
    with Visit(browser, server.url, script=locks) as visit:
        page = visit.ready()
        page.select_option("#language", "de-DE")
        visit.tab_to("#enlarge")
        page.keyboard.press("Enter")
        page.wait_for_selector("#stage .growing:visible")
        assert page.evaluate("[lock, document.querySelector('main').inert]") == ["screen", True]
        before = float(style(page, "#stage .text", "fontSize").removesuffix("px"))
        while page.is_enabled("#larger"):
            page.press("#larger", "Enter")  # also where the controls have gone away
        assert float(style(page, "#stage .text", "fontSize").removesuffix("px")) > 1.5 * before
        page.select_option("#contrast", "yellow")
        assert style(page, "#stage", "backgroundColor") == "rgb(0, 0, 0)"
        page.mouse.move(300, 100)
        page.wait_for_selector("#stage.calm")  # nobody uses the controls, which go away
        below = "text => text.scrollHeight - text.scrollTop - text.clientHeight"
        room = "text.scrollHeight > text.clientHeight + 300"
        page.wait_for_function(f"() => {{ const text = document.querySelector('#stage .text'); return {room}; }}")
        assert page.eval_on_selector("#stage .text", below) < 8
        page.mouse.wheel(0, -200)
        page.wait_for_selector(".go-on:visible")
        place = page.eval_on_selector("#stage .text", "text => text.scrollTop")
        count = page.locator("#stage li").count()
        page.wait_for_function("count => document.querySelectorAll('#stage li').length > count", arg=count)
        assert page.eval_on_selector("#stage .text", "text => text.scrollTop") == place
        page.click(".go-on")
        page.wait_for_function(f"() => ({below})(document.querySelector('#stage .text')) < 8")
        page.keyboard.press("Escape")
        page.wait_for_selector("#stage", state="hidden")
        assert page.evaluate("[document.querySelector('main').inert, document.activeElement.id]") == [False, "enlarge"]
        page.click("#microphone")
        page.wait_for_selector("#status:has-text('Stopped')")
        assert page.evaluate("lock") is None


@pytest.mark.parametrize("kind", ["chromium", "firefox"])
def test_accessibility_of_every_state(
    kind: str, request: pytest.FixtureRequest, playwright: Playwright, heard: Path, server: Server, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        running = request.getfixturevalue("browser") if kind == "chromium" else stack.enter_context(firefox(playwright))
        seen = []
        for state, visit in walk(
            running, server.url, heard, write_talk(tmp_path / "talk.wav"), dark=False, size=SIZES["phone"], lines=1
        ):
            seen.append(state)
            visit.check_accessibility()
            page = visit.page
            page.set_viewport_size(SIZES["desktop"])
            page.evaluate("document.documentElement.dataset.theme = 'dark'")
            visit.check_accessibility()
            page.set_viewport_size(SIZES["phone"])
            page.evaluate("delete document.documentElement.dataset.theme")
        assert {"idle", "listening", "stage", "lost", "reconnected", "file", "denied", "busy"} <= set(seen)


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
    # In corrections Chromium would keep the look of a deleted word, which the policy of the page refuses.
    with Visit(browser, server.url, "status of 400", "Applying inline style") as visit:
        page = visit.ready()
        page.evaluate(
            """bytes => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], "von hier.flac", { type: "audio/flac" }));
                for (const kind of ["dragover", "drop"])
                    document.body.dispatchEvent(
                        new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
            }""",
            list((SAMPLES / "it.flac").read_bytes()),
        )
        page.wait_for_selector("#status:has-text('von hier.flac is done')")
        transcript = recognizer.transcribe(SAMPLES / "it.flac", endpoint=legato.Endpointing())
        assert transcript.text
        assert page.locator(LINES).all_text_contents() == [each.text for each in transcript.segments]
        assert page.evaluate("scrollY") == 0
        for name in ("txt", "srt", "vtt"):
            assert download(page, name) == WRITERS[name](transcript)
        assert [cue.text for cue in webvtt.from_string(download(page, "vtt")).captions]
        values = json.loads(download(page, "json"))
        assert (values["text"], values["language"], values["file"]) == (transcript.text, "it-IT", "von hier.flac")
        assert [word["text"] for word in values["words"]] == [word.text for word in transcript.words]

        last = page.locator(".word").last
        last.click()
        page.wait_for_selector(".word.now")
        assert page.evaluate("document.querySelector('audio').currentTime") >= transcript.words[-1].start - 0.31
        marked = page.locator(f"{LINES} :is(.doubtful, .unsure)")
        assert marked.count() > 1
        page.click(".correct")
        page.locator(LINES).last.press("End")
        for _ in transcript.words[-1].text:
            page.keyboard.press("Backspace")
        page.keyboard.type("<b>così")
        page.click(".correct")
        assert page.locator(LINES).last.inner_text().endswith(" <b>così")
        assert page.locator(f"{LINES} b").count() == 0
        assert marked.count() == 0  # a person has read the line, and left its other words as they are
        values = json.loads(download(page, "json"))
        assert values["text"] == transcript.text.removesuffix(transcript.words[-1].text) + "<b>così"
        timed = [(word["start"], word["end"]) for word in values["words"]]
        assert timed == [(word.start, word.end) for word in transcript.words]

        visit.tab_to("#choose")
        with page.expect_file_chooser() as choosing:
            page.keyboard.press("Enter")
        choosing.value.set_files([SAMPLES / "en.flac", SAMPLES.parent / "samples" / "samples.json"])
        page.wait_for_selector("#status:has-text('samples.json failed.')")  # it is no audio
        assert page.inner_text(".transcript .problem:visible").startswith("Not an audio file")
        assert page.locator(".transcript").count() == 3


def test_a_file_during_captions(browser: Browser, server: Server) -> None:
    with Visit(browser, server.url) as visit:
        page = visit.ready()
        page.click("#microphone")
        page.wait_for_selector("#status:has-text('Listening')")
        page.set_input_files("#files", SAMPLES / "fr.flac")
        page.wait_for_selector("#status:has-text('fr.flac is done.')")
        page.wait_for_selector("#status:has-text('Listening')")


def test_a_warning_before_text_is_lost(browser: Browser, server: Server) -> None:
    # In corrections Chromium would keep the look of a deleted word, which the policy of the page refuses.
    with Visit(browser, server.url, "Applying inline style") as visit:
        page = visit.ready()
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.select_option("#language", "de-DE")
        page.click("#microphone")
        page.wait_for_selector("#status:has-text('Listening')")
        assert warns(page)  # though there is no text
        page.wait_for_selector(LINES)
        page.click("#microphone")
        page.wait_for_selector("#status:has-text('Stopped')")
        assert warns(page)
        page.click(".copy")
        page.wait_for_selector(".copy:has-text('Copied')")
        assert not warns(page)
        visit.ready()
        page.set_input_files("#files", SAMPLES / "fr.flac")
        page.wait_for_selector("#status:has-text('is done')")
        page.click(".transcript h3")  # a browser lets no page warn that nobody has used
        assert not warns(page)  # the user has the file
        visit.ready()
        page.set_input_files("#files", SAMPLES / "fr.flac")
        page.wait_for_selector("#status:has-text('is done')")
        page.click(".correct")
        page.locator(LINES).last.press("End")
        page.keyboard.type("!")
        assert warns(page)
        download(page, "txt")
        assert not warns(page)


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
            assert page.eval_on_selector("#dock", "dock => dock.scrollWidth <= dock.clientWidth")
            for now in (dark, not dark):
                assert is_dark() is now
                assert page.get_attribute("#theme", "aria-label") == ("Light theme" if now else "Dark theme")
                assert page.is_visible("#theme .sun") is now
                assert page.is_hidden("#theme .moon") is now
                if now is dark:
                    page.click("#theme")
            page.reload()
            visit.ready()
            assert is_dark() is not dark


def test_no_microphone(browser: Browser, server: Server) -> None:
    for name, words in (("NotFoundError", "no microphone"), ("NotAllowedError", "blocked")):
        with Visit(browser, server.url, script=refused(name), size=SIZES["phone"]) as visit:
            page = visit.ready()
            for label in page.locator(".dock span").all():  # each on one line
                assert label.evaluate("it => it.offsetHeight < 1.5 * parseFloat(getComputedStyle(it).lineHeight)")
            page.click("#microphone")
            page.wait_for_selector(f"[role=alert]:has-text('{words}')")
            assert page.inner_text("#microphone") == "Start captions"
            assert page.locator(".transcript").count() == 0


def test_a_key_is_asked_for(browser: Browser, tmp_path: Path) -> None:
    key = "a/key+with=signs"  # that no subprotocol may have
    with (
        Server(tmp_path, LEGATO_API_KEYS=key) as server,
        Visit(browser, server.url, "status of 401", "ERR_CONNECTION") as visit,
    ):
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
            page.wait_for_selector("[role=alert]:has-text('The server is busy')")
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
        page.fill("#phrases", "☃")
        page.click("#microphone")
        page.wait_for_selector(".transcript .problem:has-text(\"A term was ignored. The model cannot spell '☃'\")")
        page.wait_for_selector(".growing .open:not(:empty)")
        server.stop(signal.SIGKILL)
        page.wait_for_selector("#status:has-text('connection was lost')")
        assert page.locator(".growing").inner_text()  # though it never settled
        with Server(tmp_path, "--port", server.port):
            page.wait_for_selector("#status:has-text('Connected again')")
            before = page.locator(LINES).count()
            assert before
            page.wait_for_function("([lines, n]) => document.querySelectorAll(lines).length > n", arg=[LINES, before])
            page.click("#microphone")
            page.wait_for_selector("#status:has-text('Stopped')")
            assert page.locator(".transcript").count() == 1
            exported = json.loads(download(page, "json"))
            starts = [segment["start"] for segment in exported["segments"]]
            assert starts == sorted(starts)
            assert len(starts) > before
            # How sure the model was of the words that never settled is unknown: they are not marked.
            [kept] = [n for n, segment in enumerate(exported["segments"]) if segment["confidence"] is None]
            assert kept < before
            confidences = [each["confidence"] for each in exported["segments"] + exported["words"]]
            assert None in [word["confidence"] for word in exported["words"]]
            assert 0 not in confidences
            assert page.get_attribute("html", "data-marks") is not None
            assert page.locator(LINES).nth(kept).locator(".unsure, .doubtful").count() == 0
        page.click("#microphone")  # now nobody answers
        page.wait_for_selector("#problem:has-text('cannot be reached')")
        page.set_input_files("#files", SAMPLES / "fr.flac")
        card = page.locator(".transcript").first
        card.locator(".problem").wait_for()
        assert card.locator(".problem").inner_text().startswith("The server cannot be reached. Is it running?")
        assert not card.locator(".summary").inner_text()
        assert card.locator(".hint").is_hidden()


def test_which_model_runs(browser: Browser, server: Server, tmp_path: Path) -> None:
    with Visit(browser, server.url) as visit:
        page = visit.ready()
        assert page.inner_text("#model-command") == "legato models download nemotron-3.5-int8"
        page.click("#model-note-close")
        assert page.is_hidden("#model-note")
        page.click("#model-note-button")
        assert page.is_visible("#model-note")
    bundle = shutil.copytree(embedded_path() or "", tmp_path / "own")
    with Server(tmp_path, "--model", str(bundle)) as other, Visit(browser, other.url) as visit:
        page = visit.ready()
        assert page.inner_text("#model").endswith("own")
        assert page.is_hidden("#model-note")
        assert page.is_hidden("#model-note-button")
