"""An application that was written for the published LiteRT bundle.

It does what `published_app` does, with LiteRT: a tensor's role is the number in its name, or else its position.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from tests.support.published_app import App, Floats


class Model:
    """Takes the inputs and returns the outputs by number."""

    def __init__(self, file: Path, threads: int) -> None:
        self.interpreter = Interpreter(str(file), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.inputs = numbered(self.interpreter.get_input_details(), r"args_(\d+)")
        self.outputs = numbered(self.interpreter.get_output_details(), r"StatefulPartitionedCall:(\d+)")

    def __call__(self, *values: NDArray[Any]) -> list[NDArray[Any]]:
        for number, value in enumerate(values):
            self.interpreter.set_tensor(self.inputs[number]["index"], value)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(self.outputs[number]["index"]) for number in range(len(self.outputs))]


def numbered(details: list[dict[str, Any]], pattern: str) -> dict[int, dict[str, Any]]:
    """Tensors by the number in their name; by position where a name has none."""
    matches = [re.search(pattern, detail["name"]) for detail in details]
    return {int(match[1]) if match else place: details[place] for place, match in enumerate(matches)}


class LiteRtApp(App):
    """Loads the folder and transcribes one utterance at a time."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.vocab, self.languages = (
            json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("vocab", "languages")
        )
        self.encode_window, self.predict, self.join = (
            Model(folder / f"nemotron-multilingual-{name}.tflite", threads) for name in ("encoder", "decoder", "joint")
        )

    def encode(self, mel: Floats, language: str) -> Floats:
        inputs = self.encode_window.inputs
        mask = np.zeros(inputs[2]["shape"], np.float32)
        mask[0, self.slot(language)] = 1
        caches = [np.zeros(inputs[number]["shape"], inputs[number]["dtype"]) for number in range(3, 7)]
        size = int(inputs[0]["shape"][2])
        frames = []
        for start in range(0, mel.shape[1], size):
            window = np.ascontiguousarray(mel[None, :, start : start + size])
            encoded, length, *caches = self.encode_window(window, np.array([size]), mask, *caches)
            caches[3] = caches[3].astype(np.int64)
            frames.append(encoded[0, : length[0]])
        return np.concatenate(frames)

    def search(self, frames: Floats) -> list[int]:
        tokens = []
        blank = int(self.join.outputs[0]["shape"][2]) - 1
        h, c = (np.zeros(self.predict.inputs[number]["shape"], np.float32) for number in (1, 2))
        output, h, c = self.predict(np.array([[blank]]), h, c)
        for frame in frames:
            for _ in range(10):
                best = int(self.join(frame[None, None], output)[0].argmax())
                if best == blank:
                    break
                tokens.append(best)
                output, h, c = self.predict(np.array([[best]]), h, c)
        return tokens
