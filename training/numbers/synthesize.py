"""Synthesize number phrases with SVOX Pico (py-nanotts), espeak-ng and flite.

Usage: ``python -m training.numbers.synthesize --data DATA --engine pico|espeak|flite``
"""

import argparse
import io
import random
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.common.audio import SAMPLE_RATE, Audio, trim
from training.numbers import words
from training.numbers.bank import BankWriter

Speak = Callable[[str, str, random.Random, bool], tuple[Audio, str]]

PICO_VOICES: dict[str, list[str]] = {
    "en": ["en-US", "en-GB"],
    "de": ["de-DE"],
    "fr": ["fr-FR"],
    "es": ["es-ES"],
    "it": ["it-IT"],
}
ESPEAK_VOICES: dict[str, list[str]] = {
    "en": ["en-us", "en-us", "en-gb"],
    "de": ["de"],
    "fr": ["fr-fr"],
    "es": ["es", "es", "es-419"],
    "it": ["it"],
    "hi": ["hi"],
}
ESPEAK_VARIANTS = ["", "+m1", "+m2", "+m3", "+m4", "+m5", "+m7", "+f1", "+f2", "+f3", "+f4", "+Andy", "+Annie"]
ESPEAK_DEV_VARIANTS = ["+m6", "+f5"]
FLITE_VOICES = ["slt", "rms", "awb", "kal16"]


def _decode(wav: bytes) -> Audio:
    """Return float32 [samples] at 16 kHz from a WAV file in memory."""
    audio, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    return np.asarray(soxr.resample(audio, rate, SAMPLE_RATE), dtype=np.float32)


def speak_pico(text: str, language: str, rng: random.Random, dev: bool) -> tuple[Audio, str]:
    """Speak with Pico; speed and pitch are drawn around the voice's own."""
    from py_nanotts import NanoTTS

    voice = rng.choice(PICO_VOICES[language])
    plain = rng.random() < 0.3
    speed = 1.0 if plain else rng.uniform(0.8, 1.35)
    pitch = 1.0 if plain else rng.uniform(0.75, 1.35)
    pcm = NanoTTS().speak(text, voice=voice, speed=speed, pitch=pitch, volume=1.0)
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0, voice


def speak_espeak(text: str, language: str, rng: random.Random, dev: bool) -> tuple[Audio, str]:
    """Speak with espeak-ng; the dev set has voice variants of its own."""
    voice = rng.choice(ESPEAK_VOICES[language]) + rng.choice(ESPEAK_DEV_VARIANTS if dev else ESPEAK_VARIANTS)
    command = ["espeak-ng", "-v", voice, "-p", str(rng.randint(25, 75)), "-s", str(rng.randint(120, 200)), "--stdout"]
    return _decode(subprocess.run([*command, "--", text], capture_output=True, check=True).stdout), voice


def speak_flite(text: str, language: str, rng: random.Random, dev: bool) -> tuple[Audio, str]:
    """Speak English with flite."""
    voice = rng.choice(FLITE_VOICES)
    stretch = f"duration_stretch={rng.uniform(0.8, 1.25):.2f}"
    command = ["flite", "-voice", voice, "--setf", stretch, "-t", text, "-o", "/dev/stdout"]
    return _decode(subprocess.run(command, capture_output=True, check=True).stdout), voice


ENGINES: dict[str, tuple[Speak, list[str]]] = {
    "pico": (speak_pico, list(PICO_VOICES)),
    "espeak": (speak_espeak, list(ESPEAK_VOICES)),
    "flite": (speak_flite, ["en"]),
}


def main() -> None:
    """Write one bank: isolated words, phrases, and a dev part of phrases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--engine", choices=sorted(ENGINES), required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    parser.add_argument("--compounds", action="store_true", help="a bank of phrases rich in compounds")
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())["synthesis"]
    speak, languages = ENGINES[arguments.engine]
    rng = random.Random(f"{settings['seed']} {arguments.engine} {arguments.compounds}")
    source = arguments.engine + ("-compounds" if arguments.compounds else "")
    with BankWriter(arguments.data / "bank" / source) as writer:
        for language in languages:
            factor = 2 if language == "hi" else 1

            def add(items: list[words.Item], isolated: bool, dev: bool, language: str = language) -> None:
                separator = ", " if rng.random() < 0.2 else " "
                audio, voice = speak(words.spoken(items, separator), language, rng, dev)
                writer.add(
                    trim(audio),
                    language=language,
                    text=words.label(items),
                    source=source,
                    voice=voice,
                    isolated=isolated,
                    dev=dev,
                )

            if arguments.compounds:
                for _ in range(settings["compound_phrases"]):
                    add(words.random_phrase(language, rng, 4, compounds=0.7), isolated=False, dev=False)
                continue
            vocabulary = words.core_words(language) * 2 + words.all_words(language)
            for index in range(settings["isolated"] * factor):
                word = vocabulary[index % len(vocabulary)]
                add([(word, word)], isolated=True, dev=False)
            for _ in range(settings["phrases"] * factor):
                add(words.random_phrase(language, rng, settings["max_words"]), isolated=False, dev=False)
            for _ in range(20 * factor):
                add(words.random_phrase(language, rng, settings["max_words"]), isolated=False, dev=True)
            print(arguments.engine, language, flush=True)


if __name__ == "__main__":
    main()
