"""Driver of transformers on PyTorch: the checkpoint itself, float32.

python -m bench.peers.drive_transformers --model CHECKPOINT --mode stream|file --threads N --chunk-ms 320 WAV...
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.peers.driver import RATE, Outcome, Samples, Task, parse, run

_HOP, _HALF = 160, 256


class TransformersPeer:
    """transformers with the interface of the drivers."""

    def __init__(self, task: Task) -> None:
        import torch
        import transformers
        from transformers import AutoProcessor, Nemotron3_5AsrForRNNT

        torch.set_num_threads(task.threads)
        torch.set_grad_enabled(False)
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__}, float32"
        self.parts: dict[str, list[float]] = {}
        self._language = task.language
        self._right = task.chunk_ms // 80 - 1
        self._processor: Any = AutoProcessor.from_pretrained(task.model)
        self._processor.set_num_lookahead_tokens(self._right)
        self._model: Any = Nemotron3_5AsrForRNNT.from_pretrained(task.model).eval()

    def file(self, samples: Samples) -> Outcome:
        """See `Peer.file`."""
        inputs = self._processor(samples, sampling_rate=RATE, language=self._language)
        return self._outcome(self._model.generate(**inputs))

    def stream(self, pieces: Iterator[Samples]) -> Outcome:
        """See `Peer.stream`."""
        prompt = self._processor(np.zeros(RATE, np.float32), sampling_rate=RATE, language=self._language)["prompt_ids"]
        return self._outcome(
            self._model.generate(
                input_features=self._features(pieces), num_lookahead_tokens=self._right, prompt_ids=prompt
            )
        )

    def _features(self, pieces: Iterator[Samples]) -> Iterator[Any]:
        """Mel frames in the portions that the model takes, each computed as soon as its samples are there."""
        processor = self._processor
        first = processor.num_mel_frames_first_audio_chunk
        later = processor.num_mel_frames_per_audio_chunk
        heard = np.zeros(0, np.float32)
        start, size, begun = 0, processor.num_samples_first_audio_chunk, False
        for piece in pieces:
            heard = np.concatenate([heard, piece])
            while len(heard) >= start + size:
                portion = processor(
                    heard[start : start + size],
                    sampling_rate=RATE,
                    is_streaming=True,
                    is_first_audio_chunk=not begun,
                    language=self._language,
                )["input_features"]
                yield portion[:, : later if begun else first]
                start = start + later * _HOP if begun else first * _HOP - _HALF
                size, begun = processor.num_samples_per_audio_chunk, True

    def _outcome(self, found: Any) -> Outcome:
        sequences = found.sequences
        blank = self._model.config.blank_token_id
        texts = self._processor.batch_decode(sequences, skip_special_tokens=True)
        return Outcome(int((sequences != blank).sum()), str(texts[0]))


def main() -> None:
    """Run from the command line."""
    run(parse(), TransformersPeer)


if __name__ == "__main__":
    main()
