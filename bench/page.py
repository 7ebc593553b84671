"""Screenshots of every state of the web page, and what axe finds: python -m bench.page FOLDER [--browser firefox].

Each state is shown on a phone and a desktop, light and dark; the names of the files say which.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from legato.audio.source import SAMPLE_RATE, read_audio
from tests.support.browser import chromium, firefox, write_wav
from tests.support.page_states import SIZES, walk, write_talk
from tests.support.paths import SAMPLES
from tests.support.server import Server


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
            for size, pixels in SIZES.items():
                for dark in (False, True):
                    for state, visit in walk(browser, server.url, clip, talk, dark=dark, size=pixels):
                        if only and state not in only:
                            continue
                        name = f"{state}-{size}-{'dark' if dark else 'light'}"
                        visit.page.screenshot(path=arguments.folder / f"{name}.png")
                        found = visit.violations()
                        print(name, [(each["id"], each["impact"]) for each in found] or "nothing found", flush=True)


if __name__ == "__main__":
    main()
