"""Screenshots of every state of the web page, and what axe finds: python -m bench.page FOLDER [--browser firefox].

Each state is shown on a phone and a desktop, light and dark; the names of the files say which. states-light.webp and
states-dark.webp show all states of a theme, each on a phone and a desktop.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from legato.audio.source import SAMPLE_RATE, read_audio
from tests.support.browser import chromium, firefox, write_wav
from tests.support.page_states import SIZES, walk, write_talk
from tests.support.paths import SAMPLES
from tests.support.server import Server

_SHEET = """<!doctype html><style>
body { margin: 16px; display: flex; flex-wrap: wrap; gap: 16px; background: #808890; font: 600 20px sans-serif; }
figure { margin: 0; }
img { height: 340px; margin-right: 6px; }
</style>"""


def write_sheet(browser: Browser, path: Path, screenshots: dict[str, list[Path]]) -> None:
    """Write one picture of the screenshots of all states, each below the name of its state."""
    page = browser.new_page(viewport={"width": 2220, "height": 400})
    figures = [
        f"<figure><figcaption>{state}</figcaption>{''.join(f'<img src={each.name}>' for each in files)}</figure>"
        for state, files in screenshots.items()
    ]
    html = path.with_suffix(".html")
    html.write_text(_SHEET + "".join(figures), "utf-8")
    page.goto(html.resolve().as_uri())
    whole = path.with_suffix(".png")
    page.screenshot(path=whole, full_page=True)
    Image.open(whole).save(path, quality=55, method=6)
    page.close()


def main() -> None:
    """Take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the screenshots are written")
    parser.add_argument("--browser", choices=("chromium", "firefox"), default="chromium")
    parser.add_argument("--only", default="", help="states, separated by commas")
    parser.add_argument("--model", default="embedded", help="name or folder of the model")
    parser.add_argument("--clip", type=Path, default=SAMPLES / "de.flac", help="German speech for the microphone")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    only = set(filter(None, arguments.only.split(",")))
    with tempfile.TemporaryDirectory() as home:
        clip = Path(home) / "clip.wav"
        silence = np.zeros(SAMPLE_RATE + SAMPLE_RATE // 2, np.float32)
        write_wav(clip, np.concatenate([read_audio(arguments.clip), silence]), SAMPLE_RATE)
        talk = write_talk(Path(home) / "talk.wav")
        with (
            sync_playwright() as playwright,
            firefox(playwright) if arguments.browser == "firefox" else chromium(playwright, clip) as browser,
            Server(Path(home), "--model", arguments.model) as server,
        ):
            themes: dict[str, dict[str, list[Path]]] = {"light": defaultdict(list), "dark": defaultdict(list)}
            for size, pixels in SIZES.items():
                for dark in (False, True):
                    for state, visit in walk(browser, server.url, clip, talk, dark=dark, size=pixels):
                        if only and state not in only:
                            continue
                        theme = "dark" if dark else "light"
                        name = f"{state}-{size}-{theme}"
                        themes[theme][state].append(arguments.folder / f"{name}.png")
                        visit.page.screenshot(path=themes[theme][state][-1])
                        found = visit.violations()
                        print(name, [(each["id"], each["impact"]) for each in found] or "nothing found", flush=True)
            for theme, screenshots in themes.items():
                write_sheet(browser, arguments.folder / f"states-{theme}.webp", screenshots)


if __name__ == "__main__":
    main()
