import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support.command import environment, failed, legato
from tests.support.graphs import set_field, spoil
from tests.support.hub import Hub
from tests.support.paths import SAMPLES
from tests.support.tiny_bundle import tiny_bundle

REPO = "someone/streaming-model"
FOLDER = "someone--streaming-model"


def bundle_files() -> dict[str, bytes]:
    """A repository with a model folder in the published layout."""
    sizes = {"encoder": 3_000_000, "decoder": 50_000, "joint": 20_000}
    return {"README.md": b"about", "other/config.json": b"{}"} | tiny_bundle(data=sizes)


WANTED = {name for name in bundle_files() if "/" not in name and name != "README.md"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(repos={REPO: bundle_files()}) as server:
        yield server


def models(home: Path) -> Path:
    return home / "legato" / "models"


def published(home: Path) -> list[str]:
    folder = models(home)
    return [path.name for path in folder.iterdir() if path.name != ".partial"] if folder.is_dir() else []


def test_a_model_is_downloaded_listed_and_checked(tmp_path: Path, hub: Hub) -> None:
    result = legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN="hf_secret")
    assert result.returncode == 0, result.stderr.decode()
    folder = models(tmp_path) / FOLDER
    assert result.stdout.decode().strip() == str(folder)
    assert {path.name for path in folder.iterdir()} == WANTED | {"download.json"}
    for name in WANTED:
        assert (folder / name).read_bytes() == hub.repos[REPO][name]
    assert {r.token for r in hub.requests if r.path.startswith(("/api/models", f"/{REPO}"))} == {"Bearer hf_secret"}
    assert {r.token for r in hub.requests if r.path.startswith("/store")} == {None}

    listed = legato("models", home=tmp_path).stdout.decode()
    assert re.search(rf"{REPO}\t3\.\d MB\tunknown\tpublished\t", listed)
    assert legato("models", "path", REPO, home=tmp_path).stdout.decode().strip() == str(folder)
    assert legato("models", "check", REPO, home=tmp_path).returncode == 0

    asked = len(hub.requests)
    assert legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url).returncode == 0
    assert len(hub.requests) == asked  # it is complete, so the hub is not asked

    (folder / "joint.onnx.data").write_bytes(bytes(20_000))
    message = failed(legato("models", "check", REPO, home=tmp_path))
    assert "joint.onnx.data" in message
    assert f"legato models download --force {REPO}" in message
    assert legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url).returncode == 0
    assert legato("models", "check", REPO, home=tmp_path).returncode == 0
    assert published(tmp_path) == [FOLDER]


def interrupt_after(hub: Hub, home: Path, size: int) -> str:
    """Start a download and send Ctrl-C when the server has sent `size` bytes of the encoder's weights."""
    hub.stop_after["encoder.onnx.data"] = size
    process = subprocess.Popen(
        [sys.executable, "-m", "legato", "models", "download", REPO],
        env=environment(home, HF_ENDPOINT=hub.url, HF_HUB_DOWNLOAD_TIMEOUT="300"),
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert hub.silent.wait(60)
    partial = models(home) / ".partial" / FOLDER
    for _ in range(600):
        if any(p.stat().st_size >= size // 2 for p in partial.glob("encoder.onnx.data.*.part")):
            break
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    message = process.stderr.read().decode()
    assert process.wait(60) == 130, message
    hub.released.set()
    hub.stop_after.clear()
    return message


def test_an_interrupted_download_resumes_where_it_stopped(tmp_path: Path, hub: Hub) -> None:
    message = interrupt_after(hub, tmp_path, 2_000_000)
    assert "Traceback" not in message
    assert published(tmp_path) == []
    assert "not downloaded" in failed(legato("models", "path", REPO, home=tmp_path))
    there = next((models(tmp_path) / ".partial" / FOLDER).glob("encoder.onnx.data.*.part")).stat().st_size
    before = len(hub.requests)

    result = legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url)
    assert result.returncode == 0, result.stderr.decode()
    second = [r for r in hub.requests[before:] if r.method == "GET" and "api" not in r.path]
    assert {r.path.rsplit("/", 1)[1] for r in second} == {"encoder.onnx.data"}  # the others were complete
    assert {r.range for r in second} == {f"bytes={there}-"}
    assert sum(r.sent for r in second) == 3_000_000 - there
    folder = models(tmp_path) / FOLDER
    assert (folder / "encoder.onnx.data").read_bytes() == hub.repos[REPO]["encoder.onnx.data"]
    assert {path.name for path in folder.iterdir()} == WANTED | {"download.json"}


def test_the_hub_changed_between_two_tries(tmp_path: Path, hub: Hub) -> None:
    interrupt_after(hub, tmp_path, 2_000_000)
    hub.commit = "f" * 40
    hub.repos[REPO]["encoder.onnx.data"] = np.random.default_rng(9).bytes(2_500_000)
    before = len(hub.requests)
    assert legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url).returncode == 0
    ranges = {r.range for r in hub.requests[before:] if r.path.endswith("encoder.onnx.data") and r.method == "GET"}
    assert ranges == {None}
    assert (models(tmp_path) / FOLDER / "encoder.onnx.data").read_bytes() == hub.repos[REPO]["encoder.onnx.data"]
    assert not list((models(tmp_path) / ".partial").glob("*/*"))


@pytest.mark.parametrize("name", ["encoder.onnx.data", "vocab.json"])
def test_altered_bytes_are_not_published(tmp_path: Path, hub: Hub, name: str) -> None:
    hub.spoiled.add(name)
    message = failed(legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url))
    assert name in message
    assert "hash" in message
    assert published(tmp_path) == []
    hub.spoiled.clear()
    assert legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url).returncode == 0


def test_a_failed_update_leaves_the_old_model(tmp_path: Path, hub: Hub) -> None:
    assert legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url).returncode == 0
    hub.spoiled.add("joint.onnx.data")
    failed(legato("models", "download", "--force", REPO, home=tmp_path, HF_ENDPOINT=hub.url))
    assert legato("models", "check", REPO, home=tmp_path).returncode == 0


def test_what_the_hub_refuses(tmp_path: Path, hub: Hub) -> None:
    hub.repos |= {
        "someone/gated": bundle_files(),
        "someone/forbidden": bundle_files(),
        "someone/expired": bundle_files(),
    }
    hub.refusals = {"someone/gated": (403, "GatedRepo"), "someone/forbidden": (403, ""), "someone/expired": (401, "")}
    expected = {
        "someone/missing": "no such repository",
        "someone/gated": "Accept its terms",
        "someone/forbidden": "403",
        "someone/expired": "HF_TOKEN",
    }
    for repo, words in expected.items():
        message = failed(legato("models", "download", repo, home=tmp_path, HF_ENDPOINT=hub.url))
        assert repo in message
        assert words in message
    assert published(tmp_path) == []


def test_a_repository_that_is_no_model(tmp_path: Path, hub: Hub) -> None:
    hub.repos["someone/checkpoint"] = {"model.safetensors": b"", "config.json": b"{}"}
    message = failed(legato("models", "download", "someone/checkpoint", home=tmp_path, HF_ENDPOINT=hub.url))
    assert "encoder.onnx is missing" in message
    assert "legato convert" in message

    other = bundle_files()
    hub.repos["someone/other"] = {**other, "vocab.json": b'{"model_type": "other"}'}
    message = failed(legato("models", "download", "someone/other", home=tmp_path, HF_ENDPOINT=hub.url))
    assert "not a model that Legato can run" in message
    assert "expected 3 pieces" in message
    assert message.count("Choose another model") == 1
    assert "Download or convert" not in message and "Correct the file" not in message

    hub.repos["someone/unlike"] = {**other, "decoder.onnx": other["joint.onnx"]}
    message = failed(legato("models", "download", "someone/unlike", home=tmp_path, HF_ENDPOINT=hub.url))
    assert "decoder.onnx: the input encoder_output is float; expected int32 or int64" in message

    with_nan = onnx.load_from_string(other["joint.onnx"])
    spoil(with_nan)
    hub.repos["someone/broken"] = {**other, "joint.onnx": with_nan.SerializeToString()}
    message = failed(legato("models", "download", "someone/broken", home=tmp_path, HF_ENDPOINT=hub.url))
    assert "not finite" in message
    assert published(tmp_path) == []


def test_a_model_that_this_installation_cannot_run_is_kept(tmp_path: Path, hub: Hub) -> None:
    files = hub.repos[REPO]
    newer = onnx.load_from_string(files["joint.onnx"])
    set_field("opset", 99)(newer)
    hub.repos[REPO] = files | {"joint.onnx": newer.SerializeToString()}
    message = failed(legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url))
    assert "Update it with: pip install --upgrade onnxruntime. Then run the same command again" in message
    assert "Choose another" not in message
    assert published(tmp_path) == []
    assert b"no such folder, and not downloaded" in legato("models", "path", REPO, home=tmp_path).stderr
    fetched = len(hub.gets("encoder.onnx.data"))
    hub.repos[REPO] = files  # as if ONNX Runtime were updated
    assert legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url).returncode == 0
    assert len(hub.gets("encoder.onnx.data")) == fetched


def test_no_network_and_names_that_are_none(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1"
    message = failed(legato("models", "download", "nemotron-3.5-int8", home=tmp_path, HF_ENDPOINT=nowhere))
    assert "no connection" in message
    assert "Unknown model 'nemotron'" in failed(legato("models", "download", "nemotron", home=tmp_path))
    assert "HF_HUB_OFFLINE" in failed(legato("models", "download", REPO, home=tmp_path, HF_HUB_OFFLINE="1"))


@pytest.mark.parametrize("name", ["./typo", ".hidden/model", "../no-such/model", "-x/y"])
def test_a_path_is_not_taken_for_a_repository(tmp_path: Path, name: str) -> None:
    assert "Unknown model" in failed(legato("models", "download", "--", name, home=tmp_path))
    message = failed(legato("transcribe", f"--model={name}", SAMPLES / "en.flac", home=tmp_path))
    assert "no such model folder or name" in message
    assert "legato models download" not in message


def test_a_broken_connection_is_resumed(tmp_path: Path, hub: Hub) -> None:
    hub.stop_after["encoder.onnx.data"] = 1_000_000
    hub.released.set()  # the server closes the connection after every million bytes
    hub.steps = True
    result = legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url)
    assert result.returncode == 0, result.stderr.decode()
    assert [r.range for r in hub.gets("encoder.onnx.data") if r.path.startswith("/store")] == [
        None,
        "bytes=1000000-",
        "bytes=2000000-",
    ]


def test_no_room_on_the_disk(tmp_path: Path, hub: Hub) -> None:
    disk = tmp_path / "legato"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        message = failed(legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert "No room" in message
    assert "LEGATO_HOME" in message


def test_a_cache_that_cannot_be_written(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "legato").write_text("a file where the cache should be")
    message = failed(legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url))
    assert "LEGATO_HOME" in message


@pytest.mark.parametrize(("fault", "words"), [("longer", "more than the"), ("packed", "compressed")])
def test_more_bytes_than_announced_are_not_taken(tmp_path: Path, hub: Hub, fault: str, words: str) -> None:
    getattr(hub, fault).add("encoder.onnx.data")
    message = failed(legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url))
    assert words in message
    assert published(tmp_path) == []
    assert sum(path.stat().st_size for path in models(tmp_path).rglob("*") if path.is_file()) < 4_000_000


def test_only_the_files_of_a_bundle_are_downloaded(tmp_path: Path, hub: Hub) -> None:
    others = {f"training-{number}.json": b"{}" for number in range(500)} | {"weights.data": b"1", "other.onnx": b"2"}
    hub.repos[REPO] |= others
    assert legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT=hub.url).returncode == 0
    assert {request.path.rsplit("/", 1)[1] for request in hub.requests if "/resolve/" in request.path} == WANTED


def test_a_hub_that_never_answers(tmp_path: Path, hub: Hub) -> None:
    hub.mute = True
    command = ("models", "download", REPO)
    message = failed(legato(*command, home=tmp_path, HF_ENDPOINT=hub.url, HF_HUB_DOWNLOAD_TIMEOUT="1"))
    assert "did not answer for 1 s" in message


def test_a_hub_whose_name_is_unknown(tmp_path: Path) -> None:
    message = failed(legato("models", "download", REPO, home=tmp_path, HF_ENDPOINT="http://no-such-host.invalid"))
    assert "DNS" in message


def test_odd_folders_in_the_cache_are_passed_over(tmp_path: Path) -> None:
    folder = models(tmp_path)
    for name in ("someone--empty", "--", "a--b--c", "x--\x1b[31m", ".partial", "someone--config"):
        (folder / name).mkdir(parents=True)
    (folder / "someone--config" / "config.json").write_text("[" * 100_000)
    (folder / "someone--loop").symlink_to(folder / "someone--loop")
    (folder / "someone--file").write_text("")
    listed = legato("models", home=tmp_path)
    assert b"embedded\t" in listed.stdout
    assert b"someone/empty\t0.0 MB\tbroken" in listed.stdout
    assert b"Traceback" not in listed.stderr
    assert b"\x1b" not in listed.stdout + listed.stderr
    result = legato("transcribe", str(SAMPLES / "en.flac"), home=tmp_path)
    assert result.returncode == 0, result.stderr.decode()
    assert b"as she put it" in result.stdout
    assert b"passed over" in result.stderr
