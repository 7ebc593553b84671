"""Optimized copies: the same results bit by bit, and whatever happens to a copy is no error."""

import logging
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from bench.without_vnni import restrict_environment
from legato.model.bundle import open_bundle
from legato.runtime import optimized
from legato.runtime.session import OPTIMIZED_RECORD
from tests.conftest import MakeBundle
from tests.support.command import environment
from tests.support.command import legato as run_legato

#: Loads a bundle with a copy, whatever its size, and prints the sum of its encoder frames' bits.
LOAD = """
import sys, hashlib, logging, numpy as np
logging.basicConfig(level=logging.INFO)
import legato
from legato.runtime import optimized
optimized._SMALLEST = 0
exec(sys.argv[2])
samples = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
frames = legato.load(sys.argv[1]).encode(samples)
print(hashlib.sha256(frames.tobytes()).hexdigest())
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(optimized, "_SMALLEST", 0)
    monkeypatch.setenv("LEGATO_HOME", str(tmp_path / "legato"))
    return tmp_path


@pytest.fixture(params=["native", "published"])
def bundle(make_bundle: MakeBundle, request: pytest.FixtureRequest) -> Path:
    return make_bundle("transformers-a", precision="int8", layout=request.param)


@pytest.fixture
def native(make_bundle: MakeBundle) -> Path:
    return make_bundle("transformers-a", precision="int8")


def start(bundle: Path, home: Path, before: str = "", **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, str(bundle), before],
        env=environment(home, **more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    printed, logged = process.communicate(timeout=120)
    assert process.returncode == 0, logged
    return printed, logged


def frames_of(bundle: Path, fox: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, *, copy: bool) -> bytes:
    with monkeypatch.context() as patch:
        if not copy:
            patch.setenv(optimized.LIMIT_VARIABLE, "0")
        return legato.load(bundle).encode(fox).tobytes()


def only_copy() -> Path:
    (copy,) = optimized.copies()
    return copy.path


def test_a_copy_computes_the_same(bundle: Path, fox: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = frames_of(bundle, fox, monkeypatch, copy=False)
    assert optimized.copies() == []
    assert frames_of(bundle, fox, monkeypatch, copy=True) == plain
    made = (only_copy() / "encoder.onnx").stat()
    assert frames_of(bundle, fox, monkeypatch, copy=True) == plain
    assert (only_copy() / "encoder.onnx").stat().st_ino == made.st_ino
    assert legato.load(bundle).bundle.path == bundle


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("encoder.onnx.data", "cut"), ("encoder.onnx.data", "altered"), ("joint.onnx", "missing"),
        ("joint.onnx", "a link"), (OPTIMIZED_RECORD, "cut"), (OPTIMIZED_RECORD, "missing"),
    ],
)  # fmt: skip
def test_a_damaged_copy_is_made_again(
    native: Path, fox: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, name: str, damage: str, home: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    plain = frames_of(native, fox, monkeypatch, copy=True)
    file = only_copy() / name
    right = file.read_bytes()
    if damage == "cut":
        file.write_bytes(right[:-9])
    elif damage == "altered":
        file.write_bytes(right[:20] + bytes([right[20] ^ 255]) + right[21:])
    else:
        file.unlink()
        if damage == "a link":
            (home / "elsewhere").write_bytes(right)
            file.symlink_to(home / "elsewhere")
    caplog.clear()
    assert frames_of(native, fox, monkeypatch, copy=True) == plain
    warnings = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == (name != OPTIMIZED_RECORD or damage != "missing")
    assert not any("ownload" in each for each in warnings)
    again = only_copy() / name
    assert again.is_file()
    assert not again.is_symlink()
    if name != OPTIMIZED_RECORD:
        assert again.read_bytes() == right


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owners here")
def test_a_copy_that_others_may_write_is_not_used(native: Path) -> None:
    legato.load(native)
    only_copy().chmod(0o777)
    legato.load(native)
    assert stat.S_IMODE(only_copy().stat().st_mode) & 0o022 == 0


def test_two_processes_at_once(native: Path, home: Path) -> None:
    results = [ended(process) for process in [start(native, home) for _ in range(3)]]
    assert len({printed for printed, _ in results}) == 1
    assert sum("making an optimized copy" in logged for _, logged in results) == 1
    assert len(optimized.copies()) == 1


def test_what_a_killed_process_left_is_removed(native: Path, home: Path) -> None:
    left = home / "legato" / "optimized" / ".abc.part"
    left.mkdir(parents=True)
    (left / "encoder.onnx").write_bytes(b"half")
    ended(start(native, home))
    assert not left.exists()
    assert only_copy().is_dir()


def test_another_version_of_onnx_runtime_gets_its_own_copy(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    legato.load(native)
    monkeypatch.setattr(optimized, "VERSION", "99.0")
    legato.load(native)
    assert len(optimized.copies()) == 2


def test_a_changed_bundle_gets_its_own_copy(native: Path, make_bundle: MakeBundle, home: Path) -> None:
    mine = Path(shutil.copytree(native, home / "mine"))
    legato.load(native)
    legato.load(mine)  # the same content
    assert len(optimized.copies()) == 1
    shutil.rmtree(mine)
    shutil.copytree(make_bundle("transformers-b", precision="int8"), mine)
    legato.load(mine)
    assert len(optimized.copies()) == 2


def test_the_copies_have_a_limit(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    legato.load(native)
    (first,) = optimized.copies()
    os.utime(first.path / OPTIMIZED_RECORD, (1, 1))
    monkeypatch.setenv(optimized.LIMIT_VARIABLE, str(1.5 * first.size / 1e6))
    monkeypatch.setattr(optimized, "_SIZE", 0)
    monkeypatch.setattr(optimized, "VERSION", "99.0")
    legato.load(native)
    (second,) = optimized.copies()
    assert second.path != first.path
    monkeypatch.setenv(optimized.LIMIT_VARIABLE, "0")
    monkeypatch.setattr(optimized, "VERSION", "99.1")
    legato.load(native)
    assert optimized.copies() == [second]


@pytest.mark.parametrize(
    "trouble",
    [
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))",
        "import shutil, collections; shutil.disk_usage = lambda _: collections.namedtuple('U', 'free')(10)",
        "import os, pathlib; f = pathlib.Path(os.environ['LEGATO_HOME']); f.mkdir(); (f / 'optimized').write_text('')",
        "import os, pathlib; f = pathlib.Path(os.environ['LEGATO_HOME']); f.mkdir(); (f / 'optimized').symlink_to(f)",
        "import legato.runtime.optimized as o; o._WAIT = 0; o._folder().mkdir(parents=True); import filelock; "
        "lock = filelock.FileLock(o._folder() / '.lock'); lock.acquire()",
    ],
    ids=["full disk", "little room", "a file in the way", "a link", "another process"],
)
def test_without_a_copy_the_bundle_itself_is_loaded(native: Path, home: Path, trouble: str) -> None:
    printed, _ = ended(start(native, home / "without", LEGATO_OPTIMIZED_MB="0"))
    troubled, logged = ended(start(native, home, trouble))
    assert troubled == printed
    assert "no optimized copy" in logged
    assert not list((home / "legato").glob("optimized/*/encoder.onnx"))
    assert not list((home / "legato").glob("optimized/.*.part"))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders cannot be read-only here")
def test_a_read_only_cache(native: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # open to other users, unlike pytest's folders
        home = Path(name)
        home.chmod(0o755)
        mine = Path(shutil.copytree(native, home / "model"))
        printed, _ = ended(start(mine, home))
        before = sorted((home / "legato").rglob("*"))
        # What is loaded late is loaded before: the other user may not be able to read Python's folders.
        other_user = (
            "import os, filelock, legato.runtime.signs; b'x'.decode('utf-8-sig'); "
            "os.getuid() or os.setgroups([]); os.getuid() or os.setuid(65534)"
        )
        for folder in (home / "legato" / "optimized", home / "legato", home):
            folder.chmod(0o555)
        assert ended(start(mine, home, other_user)) == (printed, "")
        assert sorted((home / "legato").rglob("*")) == before
        for folder in (home, home / "legato", home / "legato" / "optimized"):
            folder.chmod(0o755)
        shutil.rmtree(home / "legato" / "optimized")
        (home / "legato").chmod(0o555)
        troubled, logged = ended(start(mine, home, other_user))
        assert troubled == printed
        assert "no optimized copy" in logged
        (home / "legato").chmod(0o755)


def test_a_copy_that_cannot_be_loaded_is_removed(native: Path, home: Path) -> None:
    printed, _ = ended(start(native, home))
    broken = "import legato.runtime.optimized as o; o.check_files = lambda *_: None"
    (only_copy() / "joint.onnx").write_bytes(b"no graph")
    again, logged = ended(start(native, home, broken))
    assert again == printed
    assert "is removed" in logged
    assert optimized.copies() == []


def test_small_and_fp32_bundles_have_no_copy(make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    legato.load(make_bundle("transformers-a", precision="fp32"))
    monkeypatch.undo()
    assert optimized.optimized(open_bundle(make_bundle("transformers-a", precision="int8"))) is None


def test_models_clean(native: Path, home: Path) -> None:
    nothing = run_legato("models", "clean", home=home)
    assert (nothing.returncode, nothing.stdout) == (0, b"")
    legato.load(native)
    (copy,) = optimized.copies()
    result = run_legato("models", "clean", home=home)
    assert result.returncode == 0
    assert result.stdout.decode().split("\t") == [copy.name, f"{copy.size / 1e6:.1f} MB", f"{copy.path}\n"]
    assert b"Removed 1 optimized copy" in result.stderr
    assert not copy.path.exists()


@pytest.fixture(scope="session")
def avx2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ONNX Runtime that uses no more than AVX2."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("objdump") is None:
        pytest.skip("the restriction to AVX2 needs Linux on x86-64 and objdump")
    packages = tmp_path_factory.mktemp("avx2") / "lib" / "python3" / "site-packages"
    spec = find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    unused = shutil.ignore_patterns("libonnxruntime.so*")  # for C; disassembling it takes ten seconds
    shutil.copytree(Path(spec.origin).parent, packages / "onnxruntime", ignore=unused)
    restrict_environment(packages.parents[2])
    return packages


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Ignoring unknown external data")
def test_signs_follow_the_processor(avx2: Path, make_bundle: MakeBundle, home: Path) -> None:
    """The results of signed and unsigned weights are equal, and those of an AVX2 CPU never saturate."""
    import onnx_ir as ir

    path = os.pathsep.join(filter(None, (str(avx2), os.environ.get("PYTHONPATH"))))
    for layout in ("native", "published"):
        bundle = make_bundle("transformers-a", precision="int8", layout=layout)
        kinds = {}
        for name, variables in {"here": {}, "avx2": {"PYTHONPATH": path}}.items():
            of = home / layout / name
            plain, _ = ended(start(bundle, of, LEGATO_OPTIMIZED_MB="0", **variables))
            copied, _ = ended(start(bundle, of, **variables))
            assert copied == plain
            (encoder,) = of.glob("legato/optimized/*/encoder.onnx")
            kinds[name] = {v.dtype for n, v in ir.load(encoder).graph.initializers.items() if n.endswith(".quantized")}
        assert kinds["avx2"] == {ir.DataType.UINT8}
        exact = {"avx512_vnni", "avx_vnni", "amx_int8"} & set(Path("/proc/cpuinfo").read_text().split())
        assert kinds["here"] == {ir.DataType.INT8 if exact else ir.DataType.UINT8}
