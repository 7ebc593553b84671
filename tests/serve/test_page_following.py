"""The newest words of captions stay in view, until a person scrolls up. The events of the stream are the test's own."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, WebSocketRoute, sync_playwright

from tests.support.browser import Visit, chromium
from tests.support.page_states import SIZES
from tests.support.paths import REFERENCES
from tests.support.server import Server

WORDS = ["Kannst", "du", "mich", "später", "noch", "mal", "daran", "erinnern?"]
READY: dict[str, object] = {"type": "ready", "id": "1", "model": "embedded", "language": "de-DE", "chunk_ms": 560}
SMALL: ViewportSize = {"width": 390, "height": 600}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, chromium(playwright, REFERENCES / "audio" / "fox16k.wav") as running:
        yield running


class Captions:
    """A page that shows captions of a stream, whose events are given here."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.lines = 0
        self._socket: WebSocketRoute | None = None

    def start(self, *warnings: str) -> None:
        self.page.route_web_socket("**/v1/stream", self._accept)
        self.page.reload()
        self.page.wait_for_selector("#microphone:enabled")
        self.page.click("#microphone")
        self.page.wait_for_selector("[data-state=connecting]")
        self.send({**READY, "warnings": warnings} if warnings else READY)
        self.page.wait_for_selector("[data-state=listening]")

    def _accept(self, socket: WebSocketRoute) -> None:
        self._socket = socket

    def send(self, event: dict[str, object]) -> None:
        assert self._socket
        self._socket.send(json.dumps(event))

    def lose(self) -> None:
        assert self._socket
        self._socket.close(code=1011)
        self.page.wait_for_selector("[data-state=lost]")

    def grow(self) -> Iterator[None]:
        """Add a line word by word, and yield after each step that was drawn."""
        start = 4.0 * self.lines
        for count in range(1, len(WORDS) + 1):
            text = " ".join(WORDS[:count])
            self.send({"type": "partial", "text": text, "tokens": [], "time": start + count / 2})
            self._wait("text => document.querySelector('.growing').textContent === text", text)
            yield
        words = [
            {"text": word, "start": start + n / 2, "end": start + n / 2 + 0.5, "confidence": 0.9}
            for n, word in enumerate(WORDS)
        ]
        segment = {"type": "segment", "text": text, "start": start, "end": start + 4, "language": "de-DE"}
        self.send({**segment, "reason": "pause", "confidence": 0.9, "words": words})
        self.lines += 1
        self._wait("count => document.querySelectorAll('.text li').length === count", self.lines)
        yield

    def fill(self) -> None:
        """Add lines until some of them are out of view."""
        while self.out_of_view() < 500:
            for _ in self.grow():
                pass

    def out_of_view(self) -> float:
        """Return the pixels of the text that are out of view."""
        return self.measure("text.scrollHeight - text.clientHeight")

    def measure(self, expression: str) -> float:
        """Return a number about the element `text` that scrolls."""
        value: float = self.page.eval_on_selector(".text", f"text => {expression}")
        return value

    def _wait(self, condition: str, argument: object) -> None:
        self.page.wait_for_function(condition, arg=argument)
        self.wait_until_drawn()

    def wait_until_drawn(self) -> None:
        """Wait until what the page has now was drawn twice: the events of the first time are processed."""
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def check(self) -> None:
        """Fail unless the newest words are in view, above the controls at the bottom."""
        assert self.measure("text.scrollHeight - text.scrollTop - text.clientHeight") < 8
        assert self.page.is_hidden(".go-on")
        hidden = self.page.evaluate(
            """() => {
                const line = [...document.querySelectorAll(".text li, .growing")].findLast(each => each.offsetHeight);
                const dock = document.querySelector(".dock");
                const fixed = getComputedStyle(dock).position === "fixed";
                const end = fixed ? dock.getBoundingClientRect().top : innerHeight;
                return line.getBoundingClientRect().bottom - end;
            }"""
        )
        assert hidden <= 0, f"{hidden} px of the newest words are hidden"


@contextmanager
def captions(browser: Browser, server: Server, size: ViewportSize, *warnings: str) -> Iterator[Captions]:
    with Visit(browser, server.url, size=size) as visit:
        visit.ready()
        shown = Captions(visit.page)
        shown.start(*warnings)
        yield shown


@pytest.mark.parametrize("size", [SIZES["phone"], SMALL, SIZES["desktop"]], ids=lambda size: size["height"])
def test_the_newest_words_stay_in_view(browser: Browser, server: Server, size: ViewportSize) -> None:
    with captions(browser, server, size) as shown:
        while shown.out_of_view() < 200:
            for _ in shown.grow():
                shown.check()


@pytest.mark.parametrize("size", [SIZES["phone"], SIZES["desktop"]], ids=lambda size: size["height"])
def test_they_stay_in_view_below_longer_messages(browser: Browser, server: Server, size: ViewportSize) -> None:
    with captions(browser, server, size, "A term was ignored. The model cannot spell '☃☃☃☃☃☃'.") as shown:
        shown.fill()
        assert shown.page.is_visible(".transcript .problem")
        shown.check()
        height = "document.querySelector('#state').offsetHeight"
        before = shown.page.evaluate(height)
        shown.lose()
        assert shown.page.evaluate(height) > before
        shown.wait_until_drawn()
        shown.check()
        for less in (100, 0):
            shown.page.set_viewport_size({"width": size["width"], "height": size["height"] - less})
            shown.wait_until_drawn()
            shown.check()


def _wheel(page: Page, up: int) -> None:
    page.hover(".text")
    page.mouse.wheel(0, -up)


def _keys(page: Page, up: int) -> None:
    page.focus(".text")
    page.keyboard.press("PageUp" if up > 0 else "End")


def _touch(page: Page, up: int) -> None:
    finger = page.context.new_cdp_session(page)
    for kind, y in [("Start", 500), *(("Move", 500 + up * step / 10) for step in range(1, 11)), ("End", None)]:
        points = [] if y is None else [{"x": 200, "y": y}]
        finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})


def _scroll_bar(page: Page, up: int) -> None:
    """Move the text as a drag of the scroll bar does, which headless Chromium does not show."""
    page.eval_on_selector(".text", "(text, up) => text.scrollBy(0, -up)", up)


@pytest.mark.parametrize("scroll", [_wheel, _keys, _touch, _scroll_bar])
def test_whoever_scrolls_up_reads_on(browser: Browser, server: Server, scroll: Callable[[Page, int], None]) -> None:
    with captions(browser, server, SIZES["phone"]) as shown:
        page = shown.page
        shown.fill()
        page.eval_on_selector(".text", "text => { text.onscrollend = () => { window.ended = true; }; }")
        scroll(page, 200)
        page.wait_for_function("() => window.ended")
        assert page.is_visible(".go-on")
        place = shown.measure("text.scrollTop")
        for _ in shown.grow():
            assert shown.measure("text.scrollTop") == place
        scroll(page, -5000)
        page.wait_for_selector(".go-on", state="hidden")
        for _ in shown.grow():
            shown.check()
