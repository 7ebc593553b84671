"""The synthesizers: one voice for each language (``SPEAKERS``), and many (``WIDE_SPEAKERS``).

A speaker is called with a text, its language and a random generator, and returns audio [samples] at 16 kHz and the
name of the voice that it chose.
"""

import io
import random
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.common.audio import SAMPLE_RATE, Audio

Speak = Callable[[str, str, random.Random], tuple[Audio, str]]

PICO_VOICES = {"en": "en-US", "de": "de-DE", "fr": "fr-FR", "es": "es-ES", "it": "it-IT"}
HINDI_VOICES = ["hi", "hi", "hi", "hi+m3", "hi+f2"]
ESPEAK_VARIANTS = ["+m1", "+m2", "+m4", "+m5", "+m7", "+f1", "+f3", "+f4", "+Andy", "+Annie"]
FLITE_VOICES = ["slt", "rms", "awb", "kal16"]
FESTIVAL_VOICES = {
    "en": ["kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts"],
    "it": ["lp_diphone", "pc_diphone"],
    "hi": ["hindi_NSK_diphone"],
}


def _resampled(audio: Audio, rate: int) -> Audio:
    return np.asarray(soxr.resample(audio, rate, SAMPLE_RATE), dtype=np.float32)


def _decoded(wav: bytes) -> Audio:
    return _resampled(*soundfile.read(io.BytesIO(wav), dtype="float32"))


def _run(command: list[str]) -> Audio:
    return _decoded(subprocess.run(command, capture_output=True, check=True).stdout)


def speak_pico(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak with the Pico voice of a language, or the one named; often with another speed and pitch."""
    from py_nanotts import NanoTTS

    speed, pitch = (1.0, 1.0) if rng.random() < 0.3 else (rng.uniform(0.8, 1.3), rng.uniform(0.75, 1.35))
    voice = PICO_VOICES.get(language, language)
    pcm = NanoTTS().speak(text, voice=voice, speed=speed, pitch=pitch, volume=1.0)
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0, f"pico {voice}"


def speak_british(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak English with the British Pico voice."""
    return speak_pico(text, "en-GB", rng)


def speak_hindi(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak Hindi with few of espeak-ng's voices."""
    return _espeak(text, rng.choice(HINDI_VOICES), rng)


def speak_espeak(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak with any of espeak-ng's voice variants."""
    return _espeak(text, language + rng.choice(ESPEAK_VARIANTS), rng)


def _espeak(text: str, voice: str, rng: random.Random) -> tuple[Audio, str]:
    command = ["espeak-ng", "-v", voice, "-p", str(rng.randint(30, 70)), "-s", str(rng.randint(125, 195)), "--stdout"]
    return _run([*command, "--", text]), f"espeak-ng {voice}"


def speak_flite(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak English with flite."""
    voice = rng.choice(FLITE_VOICES)
    stretch = f"duration_stretch={rng.uniform(0.8, 1.25):.2f}"
    return _run(["flite", "-voice", voice, "--setf", stretch, "-t", text, "-o", "/dev/stdout"]), f"flite {voice}"


def speak_festival(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak with a voice of Festival, whose Italian voices read Latin-1."""
    voice = rng.choice(FESTIVAL_VOICES[language])
    stretch = f"(Parameter.set 'Duration_Stretch {rng.uniform(0.85, 1.2):.2f})"
    encoded = text.encode("latin-1" if language == "it" else "utf-8", errors="ignore")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:  # in a pipe its header says that there is no audio
        command = ["text2wave", "-eval", f"(voice_{voice})", "-eval", stretch, "-o", file.name]
        subprocess.run(command, input=encoded, capture_output=True, check=True)
        return _decoded(Path(file.name).read_bytes()), f"festival {voice}"


def speak_jtalk(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak Japanese with the default voice of Open JTalk."""
    import pyopenjtalk

    speed, half_tone = (1.0, 0.0) if rng.random() < 0.3 else (rng.uniform(0.8, 1.25), rng.uniform(-5, 5))
    audio, rate = pyopenjtalk.tts(text, speed=speed, half_tone=half_tone)
    return _resampled((audio / 32768.0).astype(np.float32), rate), "open-jtalk"


@dataclass(frozen=True)
class AnyOf:
    """A speaker that lets one of several speak, each time another; a class, so that another process can be sent it."""

    speakers: Sequence[Speak]

    def __call__(self, text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
        """Speak with one of them."""
        return rng.choice(self.speakers)(text, language, rng)


SPEAKERS: dict[str, Speak] = {**dict.fromkeys(PICO_VOICES, speak_pico), "hi": speak_hindi, "ja": speak_jtalk}
WIDE_SPEAKERS: dict[str, Speak] = {
    "en": AnyOf([speak_flite, speak_flite, speak_british, speak_festival, speak_espeak]),
    "de": AnyOf([speak_pico, speak_pico, speak_espeak]),
    "fr": AnyOf([speak_pico, speak_pico, speak_pico, speak_espeak]),
    "es": AnyOf([speak_pico, speak_espeak]),
    "it": AnyOf([speak_pico, speak_festival, speak_espeak]),
    "hi": AnyOf([speak_espeak, speak_espeak, speak_festival]),
    "ja": speak_jtalk,
}
