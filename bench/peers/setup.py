"""Make an environment and a model for each peer, all models from one checkpoint with the peer's own converter.

    python -m bench.peers.setup FOLDER --checkpoint CHECKPOINT --sherpa-onnx CHECKOUT --transcribe-cpp CHECKOUT \
        --quantize PROGRAM --nemo-speech CHECKOUT

Run it from the root of the repository. It checks first whether all that the steps need is there. It writes into FOLDER:

    env/NAME     a virtual environment for each peer, and one for the converters
    avx2/NAME    copies of those that run ONNX Runtime or ggml, restricted to AVX2 (`bench/without_vnni.py`), and
                 NeMo-Speech.cpp built for AVX2
    models/      native-int8, published-int8, published, nemo-speech/q8_0.gguf, transcribe-cpp/.../Q8_0.gguf,
                 sherpa-onnx/320, sherpa-onnx/1120

Existing results are kept; `--only` selects steps. CHECKPOINT is a transformers folder, such as
`tests/references/make_full_size.py` writes. CHECKOUT are checkouts of the peers' sources, outside this repository;
that of NeMo-Speech.cpp with its submodule `ggml`. PROGRAM is `transcribe-quantize`, which transcribe.cpp builds with
`cmake -DTRANSCRIBE_BUILD_TOOLS=ON`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers.published import publish

ROOT = Path(__file__).parents[2]
_TORCH = "torch==2.13.0"
#: Packages of each peer's environment, from the package index.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "legato": ("-e", f"{ROOT}[convert]"),
    "sherpa-onnx": ("sherpa-onnx==2.0.1", "numpy"),
    "transcribe-cpp": ("transcribe-cpp==0.4.1", "numpy"),
    "nemo-speech": ("numpy", "cmake>=3.26", _TORCH, "gguf", "PyYAML", "sentencepiece", "librosa", "huggingface-hub"),
    "transformers": (_TORCH, "transformers==5.23.0", "soundfile", "sentencepiece", "librosa"),
    "convert": (
        "nemo-toolkit[asr-only,core,common-only]==3.0.0", _TORCH, "transformers==5.23.0", "onnx", "onnxruntime",
        "sentencepiece", "gguf",
    ),
}  # fmt: skip
RESTRICTED = ("legato", "sherpa-onnx", "transcribe-cpp")
SHERPA_CHUNKS_MS = (320, 1120)
#: transcribe.cpp's converter identifies a model by the name of the folder that it writes to.
GGUF = Path("transcribe-cpp") / "nemotron-3.5-asr-streaming-0.6b" / "Q8_0.gguf"
NEMO_SPEECH_GGUF = Path("nemo-speech") / "q8_0.gguf"
#: Where the build of NeMo-Speech.cpp lies in `env/nemo-speech` or `avx2/nemo-speech`.
NEMO_SPEECH_LIBRARY = Path("build") / "bin" / "libnemo_speech_asr_c.so"


@dataclass(frozen=True)
class Paths:
    """Paths of inputs and outputs.

    Attributes:
        folder: folder for environments and models.
        checkpoint: the transformers folder from which all models are made.
        sherpa, transcribe: checkouts of the peers' sources, for their converters.
        quantize: transcribe.cpp's program `transcribe-quantize`.
        nemo_speech: checkout of NeMo-Speech.cpp.
    """

    folder: Path
    checkpoint: Path
    sherpa: Path | None
    transcribe: Path | None
    quantize: Path | None
    nemo_speech: Path | None

    @property
    def models(self) -> Path:
        """Folder for the models."""
        return self.folder / "models"

    @property
    def archive(self) -> Path:
        """The checkpoint as a NeMo archive."""
        return self.models / "full-size.nemo"

    def python(self, name: str) -> Path:
        """Return the interpreter of an environment."""
        return self.folder / "env" / name / "bin" / "python"


def call(command: Sequence[str | Path], folder: Path = ROOT) -> None:
    """Run a command, and exit if it fails."""
    print("+", *command, flush=True)
    if (code := subprocess.run([str(part) for part in command], cwd=folder, check=False).returncode) != 0:
        raise SystemExit(f"{command[0]} failed with exit code {code}; see its output above.")


def environments(paths: Paths) -> None:
    """Make the environments."""
    for name, requirements in REQUIREMENTS.items():
        target = paths.folder / "env" / name
        if target.is_dir():
            continue
        try:
            call([sys.executable, "-m", "venv", target])
            call([paths.python(name), "-m", "pip", "install", "--quiet", *requirements])
        except BaseException:
            # The next run would take an environment without its packages for a finished one.
            shutil.rmtree(target, ignore_errors=True)
            raise


def restricted(paths: Paths) -> None:
    """Copy environments, and restrict the copies to AVX2. Unchanged files are hard links to the originals."""
    for name in RESTRICTED:
        target = paths.folder / "avx2" / name
        if not target.is_dir():
            shutil.copytree(paths.folder / "env" / name, target, symlinks=True, copy_function=os.link)
            call([sys.executable, ROOT / "bench" / "without_vnni.py", target])


def legato(paths: Paths) -> None:
    """Make Legato's bundle, and one in the published layout."""
    for layout, name in (("native", "native-int8"), ("published", "published-int8")):
        target = paths.models / name
        if not target.is_dir():
            options = ["--precision", "int8", "--layout", layout]
            call([paths.python("legato"), "-m", "legato", "convert", paths.checkpoint, target, *options])


def nemo(paths: Paths) -> None:
    """Write the checkpoint as a NeMo archive, which the peers' converters read."""
    if not paths.archive.is_file():
        call([paths.python("convert"), "-m", "bench.peers.nemo_archive", paths.checkpoint, paths.archive])


def sherpa_onnx(paths: Paths) -> None:
    """Run sherpa-onnx's exporter, and keep the quantized models."""
    assert paths.sherpa is not None
    script = paths.sherpa / "scripts" / "nemo" / "nemotron-3.5-asr-streaming-0.6b" / "export_onnx.py"
    for chunk_ms in SHERPA_CHUNKS_MS:
        target = paths.models / "sherpa-onnx" / str(chunk_ms)
        if target.is_dir():
            continue
        with tempfile.TemporaryDirectory(dir=paths.models) as name:
            runner = ROOT / "bench" / "peers" / "run_exporter.py"
            options = ["--chunk-size-ms", str(chunk_ms)]
            call([paths.python("convert"), runner, paths.archive, script, *options], Path(name))
            parts = Path(name) / "parts"
            parts.mkdir()
            for file in [*Path(name, str(chunk_ms)).glob("*.int8.onnx"), Path(name, "tokens.txt")]:
                file.replace(parts / file.name)
            target.parent.mkdir(exist_ok=True)
            parts.replace(target)


def published(paths: Paths) -> None:
    """Write a bundle in the published layout around NeMo's own export."""
    target = paths.models / "published"
    if not target.is_dir():
        publish(paths.models / "sherpa-onnx" / "320", paths.models / "published-int8", target)


def transcribe_cpp(paths: Paths) -> None:
    """Run transcribe.cpp's converter and its quantizer."""
    assert paths.transcribe is not None
    assert paths.quantize is not None
    target = paths.models / GGUF
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    full = target.with_name("F32.gguf")
    script = paths.transcribe / "scripts" / "convert-parakeet.py"
    call([paths.python("convert"), script, paths.archive, full], paths.transcribe)
    call([paths.quantize, full, target, "--quant", "Q8_0"])
    full.unlink()


def nemo_speech(paths: Paths) -> None:
    """Build NeMo-Speech.cpp for this processor and for AVX2, and run its converter."""
    assert paths.nemo_speech is not None
    cmake = paths.python("nemo-speech").with_name("cmake")
    for kind in ("env", "avx2"):
        place = paths.folder / kind / "nemo-speech"
        if (place / NEMO_SPEECH_LIBRARY).is_file():
            continue
        source = place / "source"
        shutil.copytree(paths.nemo_speech, source, dirs_exist_ok=True)
        _take_threads_from_environment(source / "src" / "runtime" / "ggml" / "session.cpp")
        without = [f"-DNEMO_SPEECH_BUILD_{part}=OFF" for part in ("CLI", "MIC_CAPTURE")]
        features = ("-DGGML_NATIVE=OFF", "-DGGML_AVX2=ON", "-DGGML_FMA=ON") if kind == "avx2" else ()
        call([cmake, "--preset", "cpu-asr", "-B", place / "build", *without, *features], source)
        call([cmake, "--build", place / "build"], source)
        if kind == "avx2":
            (place / "bin").symlink_to(paths.folder / "env" / "nemo-speech" / "bin")
    target = paths.models / NEMO_SPEECH_GGUF
    if not target.is_file():
        target.parent.mkdir(exist_ok=True)
        python = paths.python("nemo-speech")
        command: list[str | Path] = [
            python,
            "convert_model.py",
            paths.archive,
            "--outfile",
            target,
            "--outtype",
            "q8_0",
        ]
        call(command, paths.nemo_speech)


def _take_threads_from_environment(file: Path) -> None:
    """Replace the fixed number of threads in a source of NeMo-Speech.cpp."""
    text = file.read_text()
    fixed = "ggml_graph_compute_helper_async(sched.get(), cr.gf, 4)"
    if text.count(fixed) != 1:
        raise SystemExit(f"{file}: the fixed number of threads is not where it was in version 0.1. Adapt this script.")
    text = text.replace(fixed, fixed.replace("4)", 'std::atoi(std::getenv("NEMO_SPEECH_THREADS")))'))
    file.write_text("#include <cstdlib>\n" + text)


@dataclass(frozen=True)
class Step:
    """A step of the setup.

    Attributes:
        run: does it, unless its results exist.
        needs: attributes of `Paths` that it needs.
        programs: programs that it needs.
    """

    run: Callable[[Paths], None]
    needs: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


#: From quick to slow, as far as one needs the results of another.
STEPS = {
    "environments": Step(environments),
    "restricted": Step(restricted),
    "nemo": Step(nemo),
    "transcribe-cpp": Step(transcribe_cpp, ("transcribe", "quantize")),
    "nemo-speech": Step(nemo_speech, ("nemo_speech",), ("ninja", "c++", "pkg-config")),
    "legato": Step(legato),
    "sherpa-onnx": Step(sherpa_onnx, ("sherpa",)),
    "published": Step(published),
}
_OPTIONS = {
    "sherpa": "--sherpa-onnx",
    "transcribe": "--transcribe-cpp",
    "quantize": "--quantize (build it with -DTRANSCRIBE_BUILD_TOOLS=ON)",
    "nemo_speech": "--nemo-speech",
}


def check(paths: Paths, names: Sequence[str]) -> None:
    """Exit with a list of all that is missing for the steps."""
    missing = []
    for name in names:
        step = STEPS[name]
        for need in step.needs:
            path = getattr(paths, need)
            if path is None or not path.exists():
                missing.append(f"step {name}: {_OPTIONS[need]}: {path or 'not given'}")
        missing += [f"step {name}: the program {program}" for program in step.programs if shutil.which(program) is None]
    if "nemo-speech" in names and paths.nemo_speech and not (paths.nemo_speech / "ggml" / "CMakeLists.txt").exists():
        missing.append(f"step nemo-speech: the submodule ggml in {paths.nemo_speech}")
    if not (paths.checkpoint / "config.json").is_file():
        missing.append(f"--checkpoint: {paths.checkpoint} is no transformers folder")
    if missing:
        raise SystemExit(
            "Missing files and programs:\n  " + "\n  ".join(missing) + "\nSelect other steps with --only, or add it."
        )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a transformers folder of full size")
    parser.add_argument("--sherpa-onnx", type=Path, help="a checkout of sherpa-onnx")
    parser.add_argument("--transcribe-cpp", type=Path, help="a checkout of transcribe.cpp")
    parser.add_argument("--quantize", type=Path, help="transcribe.cpp's program transcribe-quantize")
    parser.add_argument("--nemo-speech", type=Path, help="a checkout of NeMo-Speech.cpp with its submodule ggml")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), help="steps to run")
    found = parser.parse_args()
    paths = Paths(
        found.folder.absolute(),
        found.checkpoint.absolute(),
        found.sherpa_onnx and found.sherpa_onnx.absolute(),
        found.transcribe_cpp and found.transcribe_cpp.absolute(),
        found.quantize and found.quantize.absolute(),
        found.nemo_speech and found.nemo_speech.absolute(),
    )
    check(paths, found.only)
    paths.models.mkdir(parents=True, exist_ok=True)
    for name, step in STEPS.items():
        if name in found.only:
            step.run(paths)


if __name__ == "__main__":
    main()
