"""Archives of torch whose tables lie: an error that names the file, never memory outside of it."""

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import legato
from legato.convert.torch_archive import TorchArchive

_VALUES = np.arange(12, dtype=np.float32)


def tensor(
    offset: int = 0, shape: tuple[int, ...] = (3, 4), strides: tuple[int, ...] = (4, 1), storage: str = "0"
) -> bytes:
    """The pickle of a dictionary with one tensor, as torch writes it, in the text protocol."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"

    persistent = b"(Vstorage\nctorch\nFloatStorage\nV" + storage.encode() + b"\nVcpu\nI12\ntQ"
    arguments = persistent + b"I%d\n" % offset + numbers(shape) + numbers(strides) + b"I00\n}"
    return b"(Vweight\nctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tRd."


def archive(path: Path, table: bytes, *, compress: bool = False) -> Path:
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
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


_BOMBS = {
    "memo": b"\x80\x02]r" + (1 << 29).to_bytes(4, "little") + b".",
    "lists": b"\x80\x02(" + b"]" * 8_000_000 + b"l.",
    "size": b"\x80\x02(" + b"]" * 50_000_000 + b"l.",
    "depth": b"(" * 900_000 + b"t" * 900_000 + b".",
}


@pytest.mark.parametrize("name", _BOMBS)
def test_pickles_that_allocate(name: str, tmp_path: Path) -> None:
    file = archive(tmp_path / "w.ckpt", _BOMBS[name], compress=True)
    code = (
        "import sys; from legato.convert.torch_archive import TorchArchive; from legato.errors import *\n"
        "from legato.lab.machine import peak_rss; from pathlib import Path\n"
        "try: TorchArchive(Path(sys.argv[1]))\n"
        "except CheckpointError as error: print(error)\n"
        "print(peak_rss())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, check=True, timeout=120)
    message, peak = done.stdout.decode().splitlines()[-2:]
    assert "pickle" in message or "data.pkl" in message
    assert int(peak) < 800e6


def test_a_pickle_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(legato.CheckpointError, match="not a dictionary"):
        TorchArchive(archive(tmp_path / "w.ckpt", pickle.dumps([1, 2])))
