"""Kokoro-82M (Apache-2.0), a synthesizer with many voices close to real speech; 1 to 2 times real time on one core."""

import json
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import soxr

from training.common.audio import SAMPLE_RATE, Audio

KOKORO_RATE = 24000
# First letter of a voice's name -> (language, espeak-ng voice).
LANGUAGE_OF: dict[str, tuple[str, str]] = {
    "a": ("en", "en-us"),
    "b": ("en", "en-gb"),
    "e": ("es", "es"),
    "f": ("fr", "fr-fr"),
    "h": ("hi", "hi"),
    "i": ("it", "it"),
}


class Kokoro:
    """The synthesizer: phonemes to ids, a style by length, one run of the graph."""

    def __init__(self, model: Path, vocabulary: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.vocabulary: dict[str, int] = json.loads(vocabulary.read_text())["vocab"]
        self.token_input = self.session.get_inputs()[0].name
        speed = next(item for item in self.session.get_inputs() if item.name == "speed")
        self.speed_type = np.int32 if "int32" in speed.type else np.float32

    def phonemes(self, text: str, espeak_voice: str) -> str:
        """Return the IPA of one phrase; commas are kept, because they cause pauses."""
        parts = []
        for part in text.split(","):
            command = ["espeak-ng", "-q", "--ipa", "-v", espeak_voice, "--", part]
            parts.append(" ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()))
        joined = ", ".join(parts).replace("ʲ", "j")
        return joined.replace("r", "ɹ") if espeak_voice.startswith("en") else joined

    def speak(self, phonemes: str, style: Path, speed: float) -> Audio:
        """Return float32 [samples] at 16 kHz."""
        ids = [self.vocabulary[letter] for letter in phonemes if letter in self.vocabulary]
        styles = np.fromfile(style, dtype=np.float32).reshape(-1, 1, 256)
        inputs = {
            self.token_input: np.array([[0, *ids, 0]], dtype=np.int64),
            "style": styles[len(ids)],
            "speed": np.array([speed], dtype=self.speed_type),
        }
        audio = np.asarray(self.session.run(None, inputs)[0], dtype=np.float32).reshape(-1)
        return np.asarray(soxr.resample(audio, KOKORO_RATE, SAMPLE_RATE), dtype=np.float32)
