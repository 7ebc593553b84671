"""Archives of torch whose tables lie: an error that names the file, never memory outside of it."""

import io
import pickle
import subprocess
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import legato
from legato.convert.torch_archive import TorchArchive

_VALUES = np.arange(12, dtype=np.float32)


def tensor(
    offset: int = 0,
    shape: tuple[int, ...] = (3, 4),
    strides: tuple[int, ...] = (4, 1),
    storage: str = "0",
    built: bytes = b"",
) -> bytes:
    """The pickle of a dictionary with one tensor, as torch writes it."""

    def whole(value: int) -> bytes:
        data = value.to_bytes(16, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(whole, values)) + b"t"

    persistent = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(storage) + text("cpu") + b"K\x0ctQ"
    arguments = persistent + whole(offset) + numbers(shape) + numbers(strides) + b"\x89}"
    return b"\x80\x02}" + text("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR" + built + b"s."


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def archive(path: Path, table: bytes, *, kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/data.pkl", table, kind)
        file.writestr("model/data/0", _VALUES.tobytes())
    return path


def test_a_tensor_is_read(tmp_path: Path) -> None:
    weights = TorchArchive(archive(tmp_path / "w.ckpt", tensor()))
    np.testing.assert_array_equal(weights.read("weight"), _VALUES.reshape(3, 4))
    transposed = TorchArchive(archive(tmp_path / "t.ckpt", tensor(shape=(4, 3), strides=(1, 4))))
    np.testing.assert_array_equal(transposed.read("weight"), _VALUES.reshape(3, 4).T)
    part = TorchArchive(archive(tmp_path / "p.ckpt", tensor(offset=5, shape=(2,), strides=(3,))))
    np.testing.assert_array_equal(part.read("weight"), [5, 8])


@pytest.mark.parametrize(
    "forged",
    [
        tensor(offset=-1),
        tensor(offset=1),
        tensor(offset=1 << 62),
        tensor(shape=(1 << 40,), strides=(0,)),
        tensor(shape=(1 << 20, 1 << 20), strides=(0, 0)),
        tensor(shape=(6, 7), strides=(1, 1)),
        tensor(shape=(3, 4), strides=(4, 1 << 61)),
        tensor(offset=11, shape=(2, 2), strides=(-(1 << 40), 1 << 40)),
        tensor(offset=11, shape=(4,), strides=(-1,)),
        tensor(shape=(0,), strides=(1,)),
        tensor(shape=(-3, 4)),
        tensor(shape=(3, 4), strides=(4,)),
        tensor(storage="1"),
    ],
)
def test_forged_tensors_are_refused(forged: bytes, tmp_path: Path) -> None:
    weights = TorchArchive(archive(tmp_path / "w.ckpt", forged))
    with pytest.raises(legato.CheckpointError, match=r"w\.ckpt"):
        weights.read("weight")


def test_a_directory_that_lies(tmp_path: Path) -> None:
    file = archive(tmp_path / "w.ckpt", tensor())
    data = bytearray(file.read_bytes())
    entry = data.rfind(b"PK\x01\x02")  # the central directory's entry of the storage
    data[entry + 42 : entry + 46] = (1 << 31).to_bytes(4, "little")  # where its header is
    file.write_bytes(data)
    with pytest.raises(legato.CheckpointError):
        TorchArchive(file).read("weight")
    data[entry + 42 : entry + 46] = (0).to_bytes(4, "little")
    data[entry + 24 : entry + 28] = (1 << 30).to_bytes(4, "little")  # its size
    file.write_bytes(data)
    with pytest.raises(legato.CheckpointError):
        TorchArchive(file).read("weight")


def colliding_keys() -> Iterator[bytes]:
    for factor in range(1, 400_000):
        number = (factor * ((1 << 61) - 1)).to_bytes(11, "little", signed=True)
        yield b"\x8a\x0b" + number + b"N"


def nested_key(double: bytes) -> bytes:
    """A key whose hash needs 2^60 steps: a tuple of a tuple twice, and so on, in a few bytes."""
    return b"\x80\x02})" + 60 * double + b"Ns."


_BOMBS: dict[str, Callable[[], bytes]] = {
    "memo": lambda: b"\x80\x02]r" + (1 << 29).to_bytes(4, "little") + b".",
    "lists": lambda: b"\x80\x02(" + b"]" * 8_000_000 + b"l.",
    "size": lambda: b"\x80\x02(" + b"]" * 50_000_000 + b"l.",
    "depth": lambda: b"(" * 400_000 + b"t" * 400_000 + b".",
    "key": lambda: nested_key(b"2\x86"),
    "key from the memo": lambda: nested_key(b"q\x00h\x00\x86"),
    "kind of storage": lambda: nested_key(b"q\x00h\x00\x86").replace(b"N", b"\x85Q"),
    "keys that collide": lambda: b"\x80\x02}(" + b"".join(colliding_keys()) + b"u.",
}


@pytest.mark.parametrize("name", _BOMBS)
def test_pickles_that_fill_memory_or_compute_without_end(name: str, tmp_path: Path) -> None:
    file = archive(tmp_path / "w.ckpt", _BOMBS[name]())
    code = (
        "import sys; from legato.convert.torch_archive import TorchArchive; from legato.errors import *\n"
        "from legato.lab.machine import peak_rss; from pathlib import Path\n"
        "try: TorchArchive(Path(sys.argv[1]))\n"
        "except CheckpointError as error: print(error)\n"
        "print(peak_rss())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, check=True, timeout=120)
    message, peak = done.stdout.decode().splitlines()[-2:]
    assert message.startswith("w.ckpt: ")
    assert int(peak) < 800e6


@pytest.mark.parametrize(
    "state",
    [
        b"}" + text("dtype") + text("x") + b"s",
        b"}" + text("shape") + text("x") + b"s",
        b"}" + text("strides") + b"Ns",
        b"}" + text("storage") + b"]s",
        b"N}" + text("dtype") + b"Ns\x86",
    ],
)
def test_a_pickle_that_changes_a_tensor(state: bytes, tmp_path: Path) -> None:
    with pytest.raises(legato.CheckpointError, match=r"w\.ckpt: its pickle cannot be read"):
        TorchArchive(archive(tmp_path / "w.ckpt", tensor(built=state + b"b")))


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("broken", [False, True])
def test_a_compressed_pickle(kind: int, broken: bool, tmp_path: Path) -> None:
    file = archive(tmp_path / "w.ckpt", tensor(), kind=kind)
    if broken:
        data = bytearray(file.read_bytes())
        data[60:80] = b"\xff" * 20
        file.write_bytes(data)
    with pytest.raises(legato.CheckpointError, match=r"w\.ckpt: is compressed"):
        TorchArchive(file)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_torch_writes(protocol: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The pickler of Python, which torch uses, with the names and the layout of torch."""

    def rebuild(*_: object) -> None:
        """Stand for the function of torch."""

    class FloatStorage:
        pass

    class Tensor:
        def __reduce__(self) -> tuple[Any, ...]:
            return rebuild, (FloatStorage(), 0, (3, 4), (4, 1), True, OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", FloatStorage, "0", "cpu", 1 << 33) if isinstance(value, FloatStorage) else None

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    FloatStorage.__module__, FloatStorage.__qualname__ = "torch", "FloatStorage"
    torch, utilities = (types.ModuleType(name) for name in ("torch", "torch._utils"))
    vars(torch)["FloatStorage"], vars(utilities)["_rebuild_tensor_v2"] = FloatStorage, rebuild
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utilities)
    tensors = OrderedDict((f"layer.{number}", Tensor()) for number in range(300))
    vars(tensors)["_metadata"] = OrderedDict({"": {"version": 1}})
    saved = {"state_dict": tensors, "epoch": 3, "rate": 0.1, 7: [None, True, -5], "none": [], "pair": (1, 2)}
    Pickler(stream := io.BytesIO(), protocol).dump(saved)
    weights = TorchArchive(archive(tmp_path / "w.ckpt", stream.getvalue()))
    assert list(weights.tensors) == list(tensors)
    np.testing.assert_array_equal(weights.read("layer.299"), _VALUES.reshape(3, 4))


def test_a_pickle_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(legato.CheckpointError, match="not a dictionary"):
        TorchArchive(archive(tmp_path / "w.ckpt", pickle.dumps([1, 2])))
