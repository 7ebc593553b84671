"""Chromium and Firefox without a window, and visits that note all that a page should not do."""

import os
import shutil
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, Error, Page, Playwright, ViewportSize

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_QUIET = (  # it would look for updates and the like
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)

_WCAG = [f"wcag{version}{level}" for version in ("2", "21", "22") for level in ("a", "aa")]
_RULES = {"runOnly": {"type": "tag", "values": [*_WCAG, "best-practice"]}}


@contextmanager
def chromium(playwright: Playwright, microphone: Path) -> Iterator[Browser]:
    """Start Chromium; its microphone repeats a WAV file. Skips the test where there is none."""
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


@contextmanager
def firefox(playwright: Playwright) -> Iterator[Browser]:
    """Start Firefox: Playwright's own, else the system's. Skips the test where there is none that it can drive.

    Without a device for sound, Firefox plays and records nothing: start PulseAudio with a null sink.
    """
    own, path = Path(playwright.firefox.executable_path), shutil.which("firefox-esr") or shutil.which("firefox")
    if not own.exists() and path is None:
        pytest.skip("no Firefox: run 'playwright install firefox', or install Debian's package firefox-esr")
    browser = playwright.firefox.launch(
        executable_path=own if own.exists() else path,
        channel=None if own.exists() else "moz-firefox",
        firefox_user_prefs={
            "media.autoplay.default": 0,
            "media.autoplay.blocking_policy": 0,
            "ui.prefersReducedMotion": 1,
        },
    )
    try:
        context = browser.new_context(**_media(browser, dark=False))
        page = context.new_page()
        sound = page.evaluate(
            """() => Promise.race([new AudioContext().resume().then(() => true),
                new Promise(resolve => setTimeout(resolve, 5000, false))])"""
        )
        context.close()
        if not sound:
            pytest.skip("Firefox has no device for sound")
        yield browser
    except Error as error:
        if "unknown command" not in str(error):
            raise
        pytest.skip(f"this Playwright cannot drive {path}: {error}")
    finally:
        browser.close()


def write_wav(path: Path, samples: NDArray[np.float32], rate: int) -> None:
    """Write mono 16-bit audio."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).round().astype("<i2").tobytes())


def _media(browser: Browser, dark: bool) -> dict[str, Any]:
    """Return what a context emulates; the system's Firefox emulates nothing, see `firefox`."""
    if browser.browser_type.name == "firefox":
        return {"color_scheme": "null", "reduced_motion": "null", "forced_colors": "null", "contrast": "null"}
    # Without motion, contrast is checked where it has settled.
    return {"color_scheme": "dark" if dark else "light", "reduced_motion": "reduce"}


class Visit:
    """A fresh visitor on a page of ours; use it with `with`, which at its end fails for what was noted.

    Attributes:
        page: to drive.
        expected: words of console errors that belong to the test, such as the status of a refused request.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        *expected: str,
        script: str = "",
        dark: bool = False,
        size: ViewportSize | None = None,
    ) -> None:
        """Open the page.

        Args:
            browser: from `chromium`.
            url: of the server.
            expected: see above.
            script: runs before the page's own.
            dark: what the user prefers, by the system in Chromium and by the page's own choice in Firefox.
            size: of the window, in pixels; 1280 by 900 if not given.
        """
        self.expected = expected
        self._origin = urlsplit(url).netloc
        self._errors: list[str] = []
        self._elsewhere: list[str] = []
        self._context: BrowserContext = browser.new_context(
            **_media(browser, dark), locale="en-US", viewport=size or {"width": 1280, "height": 900}
        )
        self.page: Page = self._context.new_page()
        if dark and browser.browser_type.name == "firefox":
            stored = "localStorage.setItem('legato-theme', 'dark')"
            self.page.add_init_script(f"if (location.protocol === 'http:') {stored}")  # the first page is empty
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
            assert not self._elsewhere, self._elsewhere
            unexpected = [each for each in self._errors if not any(words in each for words in self.expected)]
            assert not unexpected, unexpected

    def ready(self) -> Page:
        """Wait until the page knows what the server can do, and give it."""
        self.page.wait_for_selector("#microphone:enabled")
        return self.page

    def tab_to(self, selector: str) -> None:
        """Go to an element with the Tab key alone."""
        self.page.bring_to_front()
        for _ in range(60):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    def violations(self) -> list[dict[str, Any]]:
        """Return what axe finds against WCAG 2.2 AA and good practice, contrast among it."""
        found: list[dict[str, Any]] = Axe().run(self.page, options=_RULES).response["violations"]
        return found

    def check_accessibility(self) -> None:
        """Fail for what axe finds."""
        found = self.violations()
        assert not found, [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "data" and urlsplit(url.removeprefix("blob:")).netloc != self._origin:
            self._elsewhere.append(url)
