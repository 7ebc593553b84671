"""Chromium without a window, whose microphone hears a file, and which notes all that a page should not do."""

import os
import shutil
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_QUIET = (  # it would look for updates and the like
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium(microphone: Path) -> Iterator[Browser]:
    """Start Chromium; its microphone repeats a WAV file. Skips the test where there is none."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        path = next(filter(None, map(shutil.which, _NAMES)), own)
        if not Path(path).exists():
            pytest.skip("no Chromium: install Debian's package chromium, or run 'playwright install chromium'")
        browser = playwright.chromium.launch(
            executable_path=path,
            chromium_sandbox=os.name == "posix" and os.getuid() != 0,
            args=[
                *_QUIET,
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}",
            ],
        )
        yield browser
        browser.close()


def write_wav(path: Path, samples: NDArray[np.float32], rate: int) -> None:
    """Write mono 16-bit audio."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).round().astype("<i2").tobytes())


class Visit:
    """A fresh visitor on a page of ours; use it with `with`, which at its end fails for what was noted.

    Attributes:
        page: to drive.
        expected: words of console errors that belong to the test, such as the status of a refused request.
    """

    def __init__(self, browser: Browser, url: str, *expected: str, script: str = "", dark: bool = False) -> None:
        """Open the page.

        Args:
            browser: from `chromium`.
            url: of the server.
            expected: see above.
            script: runs before the page's own.
            dark: what the system prefers.
        """
        self.expected = expected
        self._origin = urlsplit(url).netloc
        self._errors: list[str] = []
        self._elsewhere: list[str] = []
        self._context: BrowserContext = browser.new_context(
            color_scheme="dark" if dark else "light",
            locale="en-US",
            reduced_motion="reduce",  # contrast is checked where it has settled
            viewport={"width": 900, "height": 1000},
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(90_000)
        self.page.on("console", lambda message: self._errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self._errors.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("websocket", lambda socket: self._note(socket.url))
        # Choosers are only told once somebody asks for them, and a key may be quicker than that.
        self.page.on("filechooser", lambda _chooser: None)
        if script:
            self.page.add_init_script(script)
        self.page.goto(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._context.close()
        if kind is None:
            assert self._elsewhere == []
            assert [each for each in self._errors if not any(words in each for words in self.expected)] == []

    def ready(self) -> Page:
        """Wait until the page knows what the server can do, and give it."""
        self.page.wait_for_selector("#microphone:enabled")
        return self.page

    def tab_to(self, selector: str) -> None:
        """Go to an element with the Tab key alone."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    def check_accessibility(self) -> None:
        """Fail for what axe finds serious, contrast among it."""
        found = Axe().run(self.page).response["violations"]
        serious = [each for each in found if each["impact"] in {"serious", "critical"}]
        assert not serious, [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious]

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "data" and urlsplit(url.removeprefix("blob:")).netloc != self._origin:
            self._elsewhere.append(url)
