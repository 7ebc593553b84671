"""An application that was written for the published bundle.

It does what the published contract says and nothing else, with ONNX Runtime's default session options, and imports
nothing of Legato. As a program, it encodes log-mels of whole windows, saves the encoder frames under the same names,
and prints the texts as JSON:

    python published_app.py FOLDER MELS.npz FRAMES.npz

An array of MELS.npz has the shape [bins, frames], and the last word of its name is the language.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class App:
    """Loads the folder and transcribes one utterance at a time."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.config, self.vocab, self.languages = (
            json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("config", "vocab", "languages")
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.encoder, self.decoder, self.joint = (
            ort.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in ("encoder", "decoder", "joint")
        )

    def slot(self, language: str) -> int:
        """The slot of a locale, else of its bare code, else of `auto`."""
        slots = self.languages["promptDictionary"]
        return int(slots.get(language, slots.get(language.partition("-")[0], self.languages["autoSlot"])))

    def encode(self, mel: Floats, language: str) -> Floats:
        """Encoder frames [frames, width] of a log-mel [bins, frames] of whole windows."""
        config, streaming = self.config, self.config["streaming"]
        layers, width = config["encoderLayers"], config["encoderHidden"]
        mask = np.zeros((1, config["numPrompts"]), np.float32)
        mask[0, self.slot(language)] = 1
        caches: dict[str, NDArray[Any]] = {
            "pre_cache": np.zeros((1, config["numMelBins"], streaming["preCacheSize"]), np.float32),
            "cache_last_channel": np.zeros((layers, 1, config["attentionLeftContext"], width), np.float32),
            "cache_last_time": np.zeros((layers, 1, width, config["convCacheSize"]), np.float32),
            "cache_last_channel_len": np.zeros(1, np.int32),
        }
        names = [output.name for output in self.encoder.get_outputs()]
        size, frames = streaming["melFrames"], []
        for start in range(0, mel.shape[1], size):
            window = np.ascontiguousarray(mel[None, :, start : start + size])
            inputs = {"audio_signal": window, "audio_length": np.array([size], np.int32), "language_mask": mask}
            outputs = dict(zip(names, self.encoder.run(None, inputs | caches), strict=True))
            caches = {name: outputs[f"new_{name}"] for name in caches}
            frames.append(outputs["encoded_output"][0, : outputs["encoded_length"][0]])
        return np.concatenate(frames)

    def search(self, frames: Floats) -> list[int]:
        """Tokens of encoder frames: greedy, at most 10 on a frame, the prediction net primed with blank."""
        config, tokens = self.config, []
        blank = config["blankTokenId"]
        h, c = (np.zeros((config["decoderLayers"], 1, config["decoderHidden"]), np.float32) for _ in "hc")
        output, h, c = self._predict(blank, h, c)
        for frame in frames:
            for _ in range(10):
                feeds = dict(zip([i.name for i in self.joint.get_inputs()], (frame[None, None], output), strict=True))
                best = int(self.joint.run(None, feeds)[0].argmax())
                if best == blank:
                    break
                tokens.append(best)
                output, h, c = self._predict(best, h, c)
        return tokens

    def text(self, tokens: list[int]) -> str:
        """The text of tokens, without pieces of the form `<...>`."""
        pieces = [self.vocab[str(token)] for token in tokens]
        spoken = "".join(piece for piece in pieces if not re.fullmatch("<.*>", piece))
        return " ".join(spoken.replace("\u2581", " ").split())

    def _predict(self, token: int, h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        names = [i.name for i in self.decoder.get_inputs()]
        output, h, c = self.decoder.run(None, dict(zip(names, (np.array([[token]]), h, c), strict=True)))
        return output, h, c


def main() -> None:
    """Encode and transcribe every utterance."""
    app = App(Path(sys.argv[1]))
    with np.load(sys.argv[2]) as mels:
        frames = {name: app.encode(mels[name], name.split()[-1]) for name in mels.files}
    np.savez(sys.argv[3], allow_pickle=False, **frames)
    print(json.dumps({name: app.text(app.search(found)) for name, found in frames.items()}))


if __name__ == "__main__":
    main()
