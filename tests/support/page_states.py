"""Brings the page into each of its states, as a user sees them, in Chromium or Firefox."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, ViewportSize

from legato.audio.source import SAMPLE_RATE, read_audio
from tests.support.browser import Visit, write_wav
from tests.support.paths import SAMPLES

#: Widths and heights of a phone and a desktop.
SIZES: dict[str, ViewportSize] = {
    "phone": {"width": 390, "height": 844},
    "desktop": {"width": 1280, "height": 800},
}

_MICROPHONE = """
    const bytes = Uint8Array.from(atob("CLIP"), (letter) => letter.charCodeAt(0));
    if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = async () => {
        const context = new AudioContext();
        const source = new AudioBufferSourceNode(context, {
            buffer: await context.decodeAudioData(bytes.buffer.slice(0)), loop: true });
        const to = context.createMediaStreamDestination();
        source.connect(to);
        source.start();
        return to.stream;
    };
"""
_SOCKETS = """
    const Native = WebSocket;
    window.cut = false;
    WebSocket = class extends Native {
        constructor(...given) {
            super(...given);
            window.socket = this;
            if (window.cut) this.close();
        }
    };
"""
_BUSY = """
    const Native = WebSocket;
    WebSocket = class extends Native {
        set onmessage(given) {
            const message = "The server has 8 live streams open, which is its limit. Try again later.";
            const error = { code: "server_busy", message };
            super.onmessage = () => {
                given({ data: JSON.stringify({ type: "error", error }) });
                this.close();
            };
        }
    };
"""
_OVERFLOWS = "text => text.scrollHeight > text.clientHeight + 100"


def write_talk(path: Path) -> Path:
    """Write sentences of several languages, with pauses between them."""
    pause = np.zeros(SAMPLE_RATE * 5 // 4, np.float32)
    parts = [part for name in ("en", "de", "fr", "es", "it") for part in (read_audio(SAMPLES / f"{name}.flac"), pause)]
    write_wav(path, np.concatenate(parts), SAMPLE_RATE)
    return path


def refused(error: str) -> str:
    """Return a script that gives a page no microphone, for a reason such as `NotAllowedError`."""
    refusal = f"() => Promise.reject(new DOMException('', '{error}'))"
    return f"if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = {refusal};"


def microphone(clip: Path) -> str:
    """Return a script that lets a page hear a clip again and again, in any browser."""
    return _MICROPHONE.replace("CLIP", base64.b64encode(clip.read_bytes()).decode())


def walk(
    browser: Browser, url: str, clip: Path, talk: Path, *, dark: bool, size: ViewportSize, lines: int = 3
) -> Iterator[tuple[str, Visit]]:
    """Yield each state by its name, with the visit that is in it.

    Args:
        browser: Chromium or Firefox.
        url: of the server.
        clip: German speech for the microphone.
        talk: a file with at least two segments.
        dark: what the user prefers.
        size: of the window.
        lines: settled lines of captions to wait for.
    """

    @contextmanager
    def visiting(script: str = "") -> Iterator[Visit]:
        # In Firefox screenshots need a style of their own, and sockets that are cut are errors.
        expected = ("inline style", "connection to", "status of 400")
        with Visit(browser, url, *expected, script=script, dark=dark, size=size) as visit:
            visit.ready()
            yield visit

    # Firefox without a screen gives a page on the whole screen another size than the window's.
    small = "delete Element.prototype.requestFullscreen;" if browser.browser_type.name == "firefox" else ""
    with visiting(microphone(clip) + _SOCKETS + small) as visit:
        yield "idle", visit
        yield from _captions(visit, lines)
    with visiting() as visit:
        yield from _file(visit, talk)
        visit.page.click(".remove")
        yield "removed", visit
        visit.page.set_input_files("#files", SAMPLES / "samples.json")  # no audio
        visit.page.wait_for_selector("#status:has-text('failed')")
        yield "failed", visit
    for name, script, words in (
        ("denied", refused("NotAllowedError"), "blocked"),
        ("busy", microphone(clip) + _BUSY, "busy"),
    ):
        with visiting(script) as visit:
            visit.page.click("#microphone")
            visit.page.wait_for_selector(f"[role=alert]:has-text('{words}')")
            yield name, visit


def _captions(visit: Visit, lines: int) -> Iterator[tuple[str, Visit]]:
    page = visit.page
    on_phone = page.locator("#settings summary").is_visible()
    if on_phone:
        page.click("#settings summary")
    page.select_option("#language", "de-DE")
    if on_phone:
        yield "settings", visit
        page.eval_on_selector("#settings", "settings => { settings.open = false; }")
    page.click("#microphone")
    page.wait_for_function("lines => document.querySelectorAll('.text li').length >= lines", arg=lines)
    _wait_for_growth(page)
    yield "listening", visit
    page.click("#enlarge")
    while page.is_enabled("#larger") and not page.eval_on_selector("#stage .text", _OVERFLOWS):
        page.press("#larger", "Enter")  # also where the controls have gone away
    _wait_for_growth(page)
    yield "stage", visit
    page.select_option("#contrast", "yellow")
    page.mouse.move(200, 100)
    page.wait_for_selector("#stage.calm")
    yield "stage-calm", visit
    page.mouse.move(200, 120)
    page.select_option("#contrast", "page")
    page.wait_for_function(f"() => ({_OVERFLOWS})(document.querySelector('#stage .text'))")
    page.eval_on_selector("#stage .text", "text => text.scrollTo(0, 0)")
    page.wait_for_selector(".go-on:visible")
    yield "stage-scrolled", visit
    page.click(".go-on")
    page.keyboard.press("Escape")
    page.evaluate("cut = true; socket.close()")
    page.wait_for_selector("[data-state=lost]")
    yield "lost", visit
    page.evaluate("cut = false")
    page.wait_for_selector("[data-state=reconnected]")
    yield "reconnected", visit
    page.click("#microphone")
    page.wait_for_selector("[data-state=stopped]")
    yield "stopped", visit


def _wait_for_growth(page: Page) -> None:
    page.wait_for_function("() => document.querySelector('.growing').textContent.split(' ').length > 3")


def _file(visit: Visit, talk: Path) -> Iterator[tuple[str, Visit]]:
    page = visit.page
    page.set_input_files("#files", talk)
    page.wait_for_selector("#status:has-text('is done')")
    page.locator(".from").nth(1).click()
    page.wait_for_selector("li:nth-child(2) .now")
    yield "file", visit
    page.click(".correct")
    yield "correcting", visit
