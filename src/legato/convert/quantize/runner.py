"""Runs the FP32 encoder, with additional outputs, on the recordings of a calibration."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from legato.chunks import SUBSAMPLING_FACTOR
from legato.convert.architecture import Architecture
from legato.convert.checkpoint import Checkpoint
from legato.convert.quantize.clips import Clip
from legato.errors import ConversionError
from legato.model.languages import AUTO
from legato.runtime.caches import Caches, extend
from legato.runtime.cores import default_threads
from legato.runtime.features import LogMel, MelState
from legato.runtime.native import LEAD, NEW, encoder_frames
from legato.runtime.session import open_session

#: Encoder frames of one call, a whole number of chunks of every size, and of one chunk.
_FRAMES = 56
_CHUNK = 4


def prompt_slots(checkpoint: Checkpoint, clips: Sequence[Clip]) -> dict[str, int]:
    """Return the prompt slot of every language that a clip may have, and check the languages of the clips.

    Raises:
        ConversionError: the model has no prompt for the language of a clip.
    """
    known = checkpoint.prompt_dictionary
    slots = {AUTO: min(known.values())} | known
    for clip in clips:
        if clip.language not in slots:
            raise ConversionError(
                f"{clip.path}: the model has no language {clip.language!r}. Correct its lang in the manifest."
            )
    return slots


class EncoderRunner:
    """Runs a native encoder graph on whole recordings.

    Args:
        architecture: the sizes of the model.
        graph: the graph; it may have more outputs than `write_native_encoder` gives it.
    """

    def __init__(self, architecture: Architecture, graph: Path) -> None:
        self._architecture = architecture
        self._session = open_session(graph, default_threads(), prepack=False)
        self._names = [value.name for value in self._session.get_outputs()]
        a = architecture
        lengths = {"key": a.left_context, "value": a.left_context, "conv": a.conv_cache}
        self._lengths = {
            f"{name}_cache_{layer}": length for layer in range(a.layers) for name, length in lengths.items()
        }

    def run(
        self, samples: NDArray[np.float32], prompt: int, *, chunk: int = _CHUNK
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Yield the outputs of every call by name.

        Args:
            samples: the recording, float32[n] at 16 kHz.
            prompt: slot of the language prompt.
            chunk: chunk size in encoder frames, a divisor of 56.
        """
        a = self._architecture
        mel, _ = LogMel(a.mel).accept(samples, MelState(), last=True)
        frames = encoder_frames(len(mel))
        calls = -(-frames // _FRAMES)
        length = LEAD + SUBSAMPLING_FACTOR * (_FRAMES * calls + 1)
        padded = np.zeros((length, a.mel.mel_bins), np.float32)
        padded[LEAD : LEAD + len(mel)] = mel
        caches = self._empty_caches()
        wanted = [name for name in self._names if name.removeprefix(NEW) not in self._lengths]
        for start in range(0, frames, _FRAMES):
            # Frames after the end of the audio would be included in the outputs, so the last call is shorter.
            count = min(_FRAMES, frames - start)
            first = SUBSAMPLING_FACTOR * start
            extended = extend([caches], count, 0)
            inputs = dict(zip(self._lengths, extended.whole, strict=True)) | {
                "mel": padded[None, first : first + SUBSAMPLING_FACTOR * count + LEAD - SUBSAMPLING_FACTOR + 1],
                "start": np.array([start]),
                "mel_length": np.array([len(mel)]),
                "chunk": np.array([chunk]),
                "prompt": np.array([prompt]),
            }
            new = {f"{NEW}{name}": array for name, array in zip(self._lengths, extended.new, strict=True)}
            yield dict(zip(wanted, self._session.run_in_place(inputs, new, wanted), strict=True))
            caches = extended.after

    def _empty_caches(self) -> Caches:
        width = self._architecture.width
        return Caches.of([np.zeros((length, width), np.float32) for length in self._lengths.values()])
