"""The measurements of `bench.peers.compare`: streams and files of every peer, and many streams at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Chunk of the streams, in milliseconds.
CHUNK_MS = 320
#: Right context in files, in milliseconds: the only one of transcribe-cpp's offline path.
FILE_CHUNK_MS = 1120


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        name: name in tables.
        environment: name of the peer's environment.
        module: the driver, with arguments that precede its options.
        model: the model that it runs.
        mode: `stream`, `file` or `streams`.
        chunk_ms: chunk size.
        threads: threads per process.
    """

    name: str
    environment: str
    module: tuple[str, ...]
    model: Path
    mode: str
    chunk_ms: int
    threads: int

    @property
    def key(self) -> str:
        """Name of the case, with the number of threads."""
        return f"{self.name} x{self.threads}"


def cases(models: Mapping[str, Path], threads: Sequence[int]) -> list[Case]:
    """Return every measurement of a round."""
    found = []
    for number in threads:
        for name, peer, module, model in (
            ("legato", "legato", "legato", "native"),
            ("legato on the published bundle", "legato", "legato", "published"),
            ("published bundle", "legato", "published", "published"),
            ("sherpa-onnx int8", "sherpa-onnx", "sherpa_onnx", "sherpa-onnx 320"),
            ("transcribe-cpp Q8_0", "transcribe-cpp", "transcribe_cpp", "transcribe-cpp"),
            ("NeMo-Speech.cpp q8_0", "nemo-speech", "nemo_speech", "nemo-speech"),
            ("transformers float32", "transformers", "transformers", "transformers"),
        ):
            driver = (f"bench.peers.drive_{module}",)
            found.append(Case(f"stream: {name}", peer, driver, models[model], "stream", CHUNK_MS, number))
        for name, peer, model, chunk_ms in (
            ("legato", "legato", "native", CHUNK_MS),
            ("sherpa-onnx int8", "sherpa-onnx", "sherpa-onnx 320", CHUNK_MS),
            ("legato", "legato", "native", FILE_CHUNK_MS),
            ("sherpa-onnx int8", "sherpa-onnx", "sherpa-onnx 1120", FILE_CHUNK_MS),
            ("transcribe-cpp Q8_0", "transcribe-cpp", "transcribe-cpp", FILE_CHUNK_MS),
            ("NeMo-Speech.cpp q8_0", "nemo-speech", "nemo-speech", FILE_CHUNK_MS),
            ("transformers float32", "transformers", "transformers", FILE_CHUNK_MS),
        ):
            driver = (f"bench.peers.drive_{peer.replace('-', '_')}",)
            found.append(Case(f"file, {chunk_ms} ms: {name}", peer, driver, models[model], "file", chunk_ms, number))
    most = max(threads)
    engine = ("bench.peers.drive_legato",)
    found.append(
        Case("streams: legato's engine", "legato", engine, models["native"], "streams", CHUNK_MS, most),
    )
    if most > 1:
        alone = ("bench.peers.several", str(most), "bench.peers.drive_published")
        name = f"streams: {most} processes of the published bundle"
        found.append(Case(name, "legato", alone, models["published"], "stream", CHUNK_MS, 1))
    return found
