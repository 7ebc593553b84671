"""Altered checkpoints are refused quickly, within bounds of memory and disk, and leave nothing behind."""

import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import legato
from legato.convert import convert
from legato.convert.open import open_checkpoint
from tests.conftest import checkpoint_path
from tests.convert.test_open import altered_folder, altered_nemo, assert_refused, with_pickle
from tests.support.mutations import mutate, mutate_pickle, seeds
from tests.support.paths import REFERENCES

pytestmark = pytest.mark.usefixtures("temporary_folder")


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's temporary folder during a test, which must be empty afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def nemo_with(tmp_path: Path, name: str, data: bytes) -> Path:
    """Return a copy of nemo-r3 in which one member has other contents."""
    target = tmp_path / "altered.nemo"
    with tarfile.open(checkpoint_path("nemo-r3")) as source, tarfile.open(target, "w") as copy:
        for member in source.getmembers():
            if member.isfile():
                stream = source.extractfile(member)
                assert stream is not None
                content = data if member.name.endswith(name) else stream.read()
                member.size = len(content)
                copy.addfile(member, io.BytesIO(content))
    return target


def test_a_gzip_bomb(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.nemo"
    with gzip.open(bomb, "wb", compresslevel=1) as file, tarfile.open(fileobj=file, mode="w|") as archive:
        member = tarfile.TarInfo("model_weights.ckpt")
        member.size = 300 << 20
        with Path("/dev/zero").open("rb") as zeros:
            archive.addfile(member, zeros)
    assert_refused(bomb, tmp_path / "out", "10 times its size")


def test_a_sparse_member(tmp_path: Path) -> None:
    archive = tmp_path / "sparse.nemo"
    folder = tmp_path / "files"
    folder.mkdir()
    with (folder / "model_weights.ckpt").open("wb") as file:
        file.truncate(1 << 40)
    subprocess.run(["tar", "--sparse", "-cf", archive, "-C", folder, "."], check=True)
    assert_refused(archive, tmp_path / "out", "sparse")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1, 2]\n" + "".join(f"b{n}: &b{n} [{', '.join(['*a'] * 10)}]\n" for n in range(100)),
        "a: " + "[" * 100_000,
        "a: " + "{a: " * 1000,
        "- 1",
        "a: !!python/object/apply:os.system [true]",
        "\x00",
        "a: 1e999999",
        "a: 2001-99-99",
    ],
)
def test_yaml_that_expands_or_is_no_configuration(tmp_path: Path, text: str) -> None:
    assert_refused(nemo_with(tmp_path, "model_config.yaml", text.encode()), tmp_path / "out")


def test_a_gzipped_archive_is_read(tmp_path: Path) -> None:
    packed = tmp_path / "packed.nemo"
    packed.write_bytes(gzip.compress(checkpoint_path("nemo-r3").read_bytes(), 1))
    checkpoint = open_checkpoint(packed)
    assert checkpoint.architecture == _architecture(checkpoint_path("nemo-r3"))
    checkpoint.release()


def _architecture(path: Path) -> object:
    checkpoint = open_checkpoint(path)
    checkpoint.release()
    return checkpoint.architecture


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**9,
    10**30,
    float("inf"),
    float("nan"),
    "",
    "x",
    [],
    [[]],
    {},
    {"a": []},
)


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Every place in nested mappings and lists: the container and the key."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(min(len(value), 3)):
            yield value, key
            yield from places(value[key])


def test_altered_values_of_nemo_are_our_errors(tmp_path: Path) -> None:
    rng = random.Random(1)

    def change(config: dict[str, Any]) -> None:
        parts = {name: config[name] for name in ("encoder", "preprocessor", "model_defaults", "tokenizer", "decoding")}
        container, key = rng.choice([*places(parts), *((config, name) for name in parts)])
        container[key] = rng.choice(ODD)

    for _ in range(40):
        checkpoint = altered_nemo(tmp_path, change)
        before = time.process_time()
        try:
            open_checkpoint(checkpoint).release()
        except legato.CheckpointError as error:
            assert str(checkpoint) in str(error)
        assert time.process_time() - before < 20


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "tokenizer.json"])
def test_altered_values_of_transformers_are_our_errors(tmp_path: Path, file: str) -> None:
    rng = random.Random(file)
    original = json.loads((REFERENCES / "transformers-a" / file).read_text())
    folder = altered_folder(tmp_path, file, lambda _: None)
    for _ in range(60):
        loaded = json.loads(json.dumps(original))
        container, key = rng.choice([*places(loaded)][:400])
        container[key] = rng.choice(ODD)
        (folder / file).write_text(json.dumps(loaded))
        try:
            open_checkpoint(folder).release()
        except legato.CheckpointError as error:
            assert str(folder) in str(error)


def _directory(data: bytes, generator: random.Random) -> bytes:
    """Change the first header of a ZIP, or its directory."""
    if generator.random() < 0.4:
        return mutate(data[:3000], generator, False) + data[3000:]
    start = data.index(b"PK\x01\x02")
    return data[:start] + mutate(data[start:], generator, False)


_MUTATIONS: dict[str, tuple[str, Callable[[bytes, random.Random], bytes]]] = {
    "instructions": (".ckpt", lambda data, generator: with_pickle(data, lambda old: mutate_pickle(old, generator))),
    "pickle": (".ckpt", lambda data, generator: with_pickle(data, lambda old: mutate(old, generator, False))),
    "zip": (".ckpt", _directory),
    "tokenizer": ("tokenizer.model", lambda data, generator: mutate(data, generator, False)),
}


@pytest.mark.parametrize("kind", _MUTATIONS)
def test_mutations(kind: str, tmp_path: Path) -> None:
    """Random changes of a .nemo archive: 60 of each kind, or as many as LEGATO_FUZZ_SECONDS are enough for."""
    ending, change = _MUTATIONS[kind]
    with tarfile.open(checkpoint_path("nemo-r3")) as source:
        name = next(member.name for member in source if member.name.endswith(ending))
        stream = source.extractfile(name)
        assert stream is not None
        original = stream.read()
    for seed in seeds(60):
        altered = nemo_with(tmp_path, name, change(original, random.Random(seed)))
        before = time.process_time()
        try:
            checkpoint = open_checkpoint(altered)
            try:
                for read in checkpoint.weights.values():
                    read()
            finally:
                checkpoint.release()
        except legato.CheckpointError as error:
            assert str(error).isprintable(), seed
        except BaseException as error:
            raise AssertionError(f"{kind}, seed {seed}") from error
        assert time.process_time() - before < 30, seed


def test_json_that_is_nested_deeply(tmp_path: Path) -> None:
    folder = altered_folder(tmp_path, "config.json", lambda _: None)
    (folder / "config.json").write_text("[" * 100_000)
    assert_refused(folder, tmp_path / "out", "config.json")


def test_the_next_conversion_removes_what_a_killed_one_left(temporary_folder: Path) -> None:
    killed, running = (temporary_folder / f"legato-nemo-{name}" for name in ("killed", "running"))
    for folder in (killed, running):
        folder.mkdir()
        (folder / "model_weights.ckpt").write_bytes(b"x")
        os.utime(folder, (0, 0))
    with FileLock(running / ".lock"):
        os.utime(running, (0, 0))
        open_checkpoint(checkpoint_path("nemo-r3")).release()
        assert not killed.exists()
        assert running.exists()
    shutil.rmtree(running)


def test_two_conversions_into_one_folder(tmp_path: Path) -> None:
    """The second one says so, and the first one is not harmed."""
    out = tmp_path / "out"
    second: list[str] = []

    def during(_step: str, done: int, _total: int) -> None:
        if done and not second:
            with pytest.raises(legato.ConversionError, match="another conversion") as caught:
                convert(REFERENCES / "transformers-a", out, precision="fp32")
            second.append(str(caught.value))

    convert(REFERENCES / "transformers-a", out, precision="fp32", progress=during)
    assert second
    legato.load(out)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_memory_of_a_refusal_is_bounded(tmp_path: Path) -> None:
    """In a process with little address space: a configuration of millions of lists ends in the usual error."""
    resource = pytest.importorskip("resource")
    bomb = nemo_with(tmp_path, "model_config.yaml", ("z: [" + "[]," * 2_000_000 + "[]]").encode())
    code = (
        "import sys; from pathlib import Path; from legato.convert.open import open_checkpoint\n"
        "open_checkpoint(Path(sys.argv[1]))"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    result = subprocess.run(
        [sys.executable, "-c", code, bomb], capture_output=True, text=True, preexec_fn=limit, timeout=120, check=False
    )
    assert "CheckpointError" in result.stderr, result.stderr[-500:]
