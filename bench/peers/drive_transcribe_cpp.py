"""Driver of transcribe-cpp (ggml).

    python -m bench.peers.drive_transcribe_cpp --model FILE.gguf --mode stream|file --threads N --chunk-ms 320 WAV...

A file uses its offline path, whose right context is always 1120 ms. A stream uses that of the chunk size.
"""

from collections.abc import Iterator

from bench.peers.driver import Outcome, Samples, Task, parse, run


class TranscribePeer:
    """transcribe-cpp with the interface of the drivers."""

    def __init__(self, task: Task) -> None:
        import transcribe_cpp

        self.version = f"transcribe-cpp {transcribe_cpp.native_version()}"
        self.parts: dict[str, list[float]] = {}
        self._options = transcribe_cpp.ParakeetStreamOptions(att_context_right=task.chunk_ms // 80 - 1)
        self._language = None if task.language == "auto" else task.language
        self._session = transcribe_cpp.Model(str(task.model), backend="cpu").session(n_threads=task.threads)

    def file(self, samples: Samples) -> Outcome:
        """See `Peer.file`."""
        found = self._session.run(samples, language=self._language)
        return Outcome(len(found.tokens), found.text)

    def stream(self, pieces: Iterator[Samples]) -> Outcome:
        """See `Peer.stream`."""
        with self._session.stream(language=self._language, family=self._options) as stream:
            for piece in pieces:
                stream.feed(piece)
            stream.finalize()
            return Outcome(len(stream.snapshot().tokens), stream.text().full)


def main() -> None:
    """Run from the command line."""
    run(parse(), TranscribePeer)


if __name__ == "__main__":
    main()
