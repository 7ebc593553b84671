"""Make an environment and a model for each peer, all models from one checkpoint with the peer's own converter.

    python -m bench.peers.setup FOLDER --checkpoint CHECKPOINT --sherpa-onnx CHECKOUT --transcribe-cpp CHECKOUT \
        --quantize PROGRAM

Run it from the root of the repository. It writes into FOLDER:

    env/NAME     a virtual environment for each peer, and one for the converters
    avx2/NAME    copies of those that run ONNX Runtime or ggml, restricted to AVX2 (`bench/without_vnni.py`)
    models/      native-int8, published-int8, published, sherpa-onnx/320, sherpa-onnx/1120, transcribe-cpp/.../Q8_0.gguf

Existing results are kept; `--only` selects steps. CHECKPOINT is a transformers folder, such as
`tests/references/make_full_size.py` writes. CHECKOUT are checkouts of sherpa-onnx and transcribe.cpp, outside this
repository, for their exporters. PROGRAM is transcribe.cpp's `transcribe-quantize`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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
STEPS = ("environments", "restricted", "legato", "nemo", "sherpa-onnx", "published", "transcribe-cpp")


@dataclass(frozen=True)
class Paths:
    """Paths of inputs and outputs.

    Attributes:
        folder: folder for environments and models.
        checkpoint: the transformers folder from which all models are made.
        sherpa, transcribe: checkouts of the peers' sources, for their converters.
        quantize: transcribe.cpp's program `transcribe-quantize`.
    """

    folder: Path
    checkpoint: Path
    sherpa: Path | None
    transcribe: Path | None
    quantize: Path | None

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
        if not (paths.folder / "env" / name).is_dir():
            call([sys.executable, "-m", "venv", paths.folder / "env" / name])
            call([paths.python(name), "-m", "pip", "install", "--quiet", *requirements])


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
    if paths.sherpa is None:
        raise SystemExit("sherpa-onnx's exporter is missing. Give --sherpa-onnx.")
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
    if paths.transcribe is None or paths.quantize is None:
        raise SystemExit("transcribe.cpp's converter and quantizer are missing. Give --transcribe-cpp and --quantize.")
    target = paths.models / GGUF
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    full = target.with_name("F32.gguf")
    script = paths.transcribe / "scripts" / "convert-parakeet.py"
    call([paths.python("convert"), script, paths.archive, full], paths.transcribe)
    call([paths.quantize, full, target, "--quant", "Q8_0"])
    full.unlink()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a transformers folder of full size")
    parser.add_argument("--sherpa-onnx", type=Path, help="a checkout of sherpa-onnx")
    parser.add_argument("--transcribe-cpp", type=Path, help="a checkout of transcribe.cpp")
    parser.add_argument("--quantize", type=Path, help="transcribe.cpp's program transcribe-quantize")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS, help="steps to run")
    found = parser.parse_args()
    paths = Paths(
        found.folder.absolute(),
        found.checkpoint.absolute(),
        found.sherpa_onnx and found.sherpa_onnx.absolute(),
        found.transcribe_cpp and found.transcribe_cpp.absolute(),
        found.quantize and found.quantize.absolute(),
    )
    paths.models.mkdir(parents=True, exist_ok=True)
    steps = (environments, restricted, legato, nemo, sherpa_onnx, published, transcribe_cpp)
    for name, step in zip(STEPS, steps, strict=True):
        if name in found.only:
            step(paths)


if __name__ == "__main__":
    main()
