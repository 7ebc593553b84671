"""Driver of sherpa-onnx.

    python -m bench.peers.drive_sherpa_onnx --model FOLDER --mode stream|file --threads N --chunk-ms 320 WAV...

FOLDER contains the output of its exporter for this chunk size: `encoder.int8.onnx`, `decoder.int8.onnx`,
`joiner.int8.onnx`, `tokens.txt`. It processes a file as a stream.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.peers.driver import RATE, Outcome, Samples, Task, parse, run


class SherpaPeer:
    """sherpa-onnx with the interface of the drivers."""

    def __init__(self, task: Task) -> None:
        import sherpa_onnx

        self.version = f"sherpa-onnx {sherpa_onnx.__version__}"
        self.parts: dict[str, list[float]] = {}
        self._task = task
        self._recognizer = sherpa_onnx.OnlineRecognizer.from_transducer(
            tokens=str(task.model / "tokens.txt"),
            encoder=str(task.model / "encoder.int8.onnx"),
            decoder=str(task.model / "decoder.int8.onnx"),
            joiner=str(task.model / "joiner.int8.onnx"),
            num_threads=task.threads,
            feature_dim=128,
        )

    def file(self, samples: Samples) -> Outcome:
        """See `Peer.file`."""
        return self.stream(iter([samples]))

    def stream(self, pieces: Iterator[Samples]) -> Outcome:
        """See `Peer.stream`."""
        stream = self._recognizer.create_stream()
        if self._task.language != "auto":
            stream.set_option("language", self._task.language)
        for piece in pieces:
            self._accept(stream, piece)
        # Its own examples append silence, so that the last chunk is complete.
        self._accept(stream, np.zeros(RATE * self._task.chunk_ms // 1000, np.float32))
        stream.input_finished()
        self._accept(stream, np.zeros(0, np.float32))
        return Outcome(len(self._recognizer.tokens(stream)), self._recognizer.get_result(stream))

    def _accept(self, stream: Any, samples: Samples) -> None:
        if len(samples):
            stream.accept_waveform(RATE, samples)
        while self._recognizer.is_ready(stream):
            self._recognizer.decode_stream(stream)


def main() -> None:
    """Run from the command line."""
    run(parse(), SherpaPeer)


if __name__ == "__main__":
    main()
