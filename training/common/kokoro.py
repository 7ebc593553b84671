"""Kokoro-82M (Apache-2.0), a synthesizer with many voices close to real speech; 1 to 2 times real time on one core."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
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

#: Sounds of eSpeak NG that no voice has learned in a language, and the nearest ones.
_NEAREST = {
    "en": {"r": "ɹ"},
    "de": {"ɜ": "ɐ", "ʏ": "y", "r": "ʁ"},
    "ja": {"ä": "a", "tɕ": "ʨ", "dʑ": "ʥ", "\u031e": ""},
}
#: A voice: float32 [phonemes, 1, 256], a vector for each length of a text. A mean of two is a voice too.
Style = npt.NDArray[np.float32]


def read_style(path: Path) -> Style:
    """Return the voice of a ``.bin`` file."""
    return np.fromfile(path, dtype=np.float32).reshape(-1, 1, 256)


def espeak(text: str, voice: str) -> str:
    """Return the IPA of a text without commas, by the program ``espeak-ng``."""
    command = ["espeak-ng", "-q", "--ipa", "-v", voice, "--", text]
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def token_ids(phonemes: str, vocabulary: dict[str, int], styles: int) -> list[int]:
    """Return the input of the graph, with the mark 0 at both ends; a voice has ``styles`` vectors, one per length."""
    return [0, *[vocabulary[letter] for letter in phonemes if letter in vocabulary][: styles - 1], 0]


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

    @staticmethod
    def phonemes(text: str, espeak_voice: str, of_part: Callable[[str, str], str] = espeak) -> str:
        """Return the IPA of one phrase; commas are kept, because they cause pauses. ``of_part`` does the parts."""
        joined = ", ".join(of_part(part, espeak_voice) for part in text.split(",")).replace("ʲ", "j")
        for sound, nearest in _NEAREST.get(espeak_voice[:2], {}).items():
            joined = joined.replace(sound, nearest)
        return joined

    def speak(self, phonemes: str, style: Style, speed: float) -> Audio:
        """Return float32 [samples] at 16 kHz."""
        ids = token_ids(phonemes, self.vocabulary, len(style))
        inputs = {
            self.token_input: np.array([ids], dtype=np.int64),
            "style": style[len(ids) - 2],
            "speed": np.array([speed], dtype=self.speed_type),
        }
        audio = np.asarray(self.session.run(None, inputs)[0], dtype=np.float32).reshape(-1)
        return np.asarray(soxr.resample(audio, KOKORO_RATE, SAMPLE_RATE), dtype=np.float32)
