"""The prediction net and the joint of a bundle, as ONNX Runtime sessions."""

import numpy as np
from numpy.typing import NDArray

from legato.model.bundle import Bundle
from legato.runtime.session import open_session
from legato.types import Floats


class OnnxTransducer:
    """Runs `decoder.onnx` and `joint.onnx`. It meets the Protocol `legato.decode.transducer.Transducer`.

    Inputs are fed by position, as the published contract says. Graphs of the published layout take one row and one
    frame per call, so larger batches are split here.
    """

    def __init__(self, bundle: Bundle, threads: int, *, prepack: bool = True) -> None:
        self._decoder = open_session(
            bundle.path / "decoder.onnx", threads, prepack=prepack, reduce_range=bundle.reduce_range
        )
        self._joint = open_session(
            bundle.path / "joint.onnx", threads, prepack=prepack, reduce_range=bundle.reduce_range
        )
        self._decoder_inputs = [value.name for value in self._decoder.get_inputs()]
        self._joint_inputs = [value.name for value in self._joint.get_inputs()]
        self._fixed = not isinstance(self._joint.get_inputs()[0].shape[1], str)
        self._sizes = bundle.sizes
        self.blank = bundle.sizes.vocabulary

    def initial(self, rows: int) -> tuple[Floats, Floats]:
        """See `Transducer.initial`."""
        shape = (self._sizes.decoder_layers, rows, self._sizes.decoder_hidden)
        return np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def predict(self, tokens: NDArray[np.int64], h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        """See `Transducer.predict`."""
        if self._fixed and len(tokens) > 1:
            rows = [self.predict(tokens[i : i + 1], h[:, i : i + 1], c[:, i : i + 1]) for i in range(len(tokens))]
            outputs, hs, cs = zip(*rows, strict=True)
            return np.concatenate(outputs), np.concatenate(hs, axis=1), np.concatenate(cs, axis=1)
        output, h, c = self._decoder.run(None, dict(zip(self._decoder_inputs, (tokens[:, None], h, c), strict=True)))
        return output[:, 0], h, c

    def join(self, frames: Floats, predictions: Floats) -> Floats:
        """See `Transducer.join`."""
        if self._fixed and frames.shape[:2] != (1, 1):
            rows = [
                np.concatenate([self.join(frames[b : b + 1, t : t + 1], predictions[b : b + 1]) for t in range(n)], 1)
                for b, n in enumerate([frames.shape[1]] * len(frames))
            ]
            return np.concatenate(rows)
        inputs = dict(zip(self._joint_inputs, (frames, predictions[:, None]), strict=True))
        logits: Floats = self._joint.run(None, inputs)[0]
        return logits
