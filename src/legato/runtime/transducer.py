"""The prediction net and the joint of a bundle, as sessions of ONNX Runtime or LiteRT."""

import numpy as np
from numpy.typing import NDArray

from legato.model.bundle import Bundle
from legato.model.contract import DECODER_INPUTS, DECODER_OUTPUTS, JOINT_INPUTS, JOINT_OUTPUTS
from legato.runtime.graph import Graph
from legato.runtime.graphs import open_graph
from legato.types import Floats


class OnnxTransducer:
    """Runs the graphs `decoder` and `joint`. It meets the Protocol `legato.decode.transducer.Transducer`.

    Graphs of the published layout take one row and one frame per call, so larger batches are split here.
    """

    def __init__(self, bundle: Bundle, threads: int, *, prepack: bool = True) -> None:
        decoder, joint = (open_graph(bundle, name, threads, prepack=prepack) for name in ("decoder", "joint"))
        self._decoder = Graph(decoder, DECODER_INPUTS, DECODER_OUTPUTS)
        self._joint = Graph(joint, JOINT_INPUTS, JOINT_OUTPUTS)
        self._fixed = bundle.layout != "native"
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
        output, h, c = self._decoder.run(tokens[:, None], h, c)
        return output[:, 0], h, c

    def join(self, frames: Floats, predictions: Floats) -> Floats:
        """See `Transducer.join`."""
        if self._fixed and frames.shape[:2] != (1, 1):
            rows = [
                np.concatenate([self.join(frames[b : b + 1, t : t + 1], predictions[b : b + 1]) for t in range(n)], 1)
                for b, n in enumerate([frames.shape[1]] * len(frames))
            ]
            return np.concatenate(rows)
        [logits] = self._joint.run(frames, predictions[:, None])
        return logits
