"""Network addresses: what is an address, and files from servers of every kind."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from legato.audio.addresses import is_url, local_path, without_password
from legato.audio.source import open_audio
from legato.errors import AudioError
from tests.support.sounds import Sound, encode, encode_tracks, tone


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A server of the test's folder that knows no ranges."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("flags", ["", "faststart"])
def test_mp4_from_a_server_without_ranges(tmp_path: Path, site: str, flags: str) -> None:
    sound = Sound(tone(20.0, 44100), 44100, "aac", "fltp")
    encode_tracks(tmp_path / "a.m4a", [sound], options={"movflags": flags} if flags else {})
    with open_audio(f"{site}/a.m4a") as audio:
        samples = np.concatenate(list(audio))
    assert len(samples) / 16000 == pytest.approx(20.0, abs=0.1)
    assert (audio.complete, audio.warnings) == (True, [])


def test_the_scheme_may_be_in_capitals(tmp_path: Path, site: str) -> None:
    encode(tmp_path / "a.wav", tone(1.0, 16000), 16000, "pcm_s16le")
    with open_audio(f"{site}/a.wav".replace("http", "HTTP")) as audio:
        assert sum(map(len, audio)) == 16000


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("{site}/nothing.wav", "404"),
        ("{site}/page.html", "not valid|Check the address"),
        ("http://127.0.0.1:1/a.wav", "refused"),
        ("http://no-such-host.invalid/a.wav", r"no-such-host\.invalid cannot be resolved"),
        ("http://[x/a.wav", "cannot be opened"),
        ("https://example.org/" + "x" * 70_000, "not an address"),
    ],
)
def test_what_cannot_be_opened(tmp_path: Path, site: str, address: str, words: str) -> None:
    (tmp_path / "page.html").write_text("<html><body>This is a page.</body></html>")
    with pytest.raises(AudioError, match=words) as caught:
        open_audio(address.format(site=site))
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 400


def test_files_that_are_addresses(tmp_path: Path) -> None:
    path = encode(tmp_path / "ä ö#1?.wav", tone(1.0, 16000), 16000, "pcm_s16le")
    for name in (path.as_uri(), f"file://localhost{path.as_posix()}".replace("#", "%23"), str(path), f"FILE://{path}"):
        with open_audio(name) as audio:
            assert sum(map(len, audio)) == 16000
    with pytest.raises(AudioError, match="machine far"):
        open_audio("file://far/a.wav")


def test_what_an_address_is() -> None:
    assert is_url("https://a/b.mp3")
    assert is_url("RTSP://a")
    assert not is_url("file:///a")
    assert not is_url("C://a")
    assert not is_url(Path("https://a/b.mp3"))
    assert local_path("concat:a") == Path("concat:a")
    assert without_password("https://me:secret@host/a?b") == "https://host/a?b"
