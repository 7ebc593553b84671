"""Speak the sentences with SVOX Pico, espeak-ng (Hindi) and Open JTalk (Japanese), and store features.

    python -m training.small.synthesize --data DATA --kind KIND --shards N [--languages en de ...]

Kinds: ``words`` (pieces of one to three words, for the first steps), ``sentences``, ``wide`` (sentences
by other voices, for later: flite and the British Pico voice, espeak-ng's variants for Spanish, Italian
and Hindi), and ``held-out`` (one shard of held-out sentences, and their audio in ``held-out/`` with a
manifest a language).
Shards that exist are left alone, so the command can be stopped and started again.
"""

import argparse
import io
import multiprocessing
import random
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.common.audio import SAMPLE_RATE, Audio, trim
from training.small import texts
from training.small.clips import ClipFolder
from training.small.languages import TAGS, normalize
from training.small.shards import ShardWriter
from training.small.texts import Sentence

Speak = Callable[[str, str, random.Random], tuple[Audio, str]]

PICO_VOICES = {"en": "en-US", "de": "de-DE", "fr": "fr-FR", "es": "es-ES", "it": "it-IT"}
HINDI_VOICES = ["hi", "hi", "hi", "hi+m3", "hi+f2"]
ESPEAK_VARIANTS = ["+m1", "+m2", "+m4", "+m5", "+m7", "+f1", "+f3", "+f4", "+Andy", "+Annie"]
FLITE_VOICES = ["slt", "rms", "awb", "kal16"]


def _resampled(audio: Audio, rate: int) -> Audio:
    return np.asarray(soxr.resample(audio, rate, SAMPLE_RATE), dtype=np.float32)


def _decoded(wav: bytes) -> Audio:
    return _resampled(*soundfile.read(io.BytesIO(wav), dtype="float32"))


def speak_pico(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak with the Pico voice of a language, or the one named; often with another speed and pitch."""
    from py_nanotts import NanoTTS

    speed, pitch = (1.0, 1.0) if rng.random() < 0.4 else (rng.uniform(0.85, 1.2), rng.uniform(0.8, 1.25))
    voice = PICO_VOICES.get(language, language)
    pcm = NanoTTS().speak(text, voice=voice, speed=speed, pitch=pitch, volume=1.0)
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0, f"pico {voice}"


class Guarded:
    """Runs a synthesizer in a separate process, because Pico aborts its process for a few texts."""

    def __init__(self, speak: Speak) -> None:
        self._speak = speak
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def __call__(self, text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
        """Speak, or return no audio for a text that cannot be spoken."""
        try:
            return self._pool.submit(self._speak, text, language, random.Random(rng.random())).result()
        except BrokenProcessPool:
            print(f"cannot be spoken: {text}", flush=True)
            self._pool = self._start()
            return np.zeros(0, np.float32), ""

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


def speak_espeak(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak with espeak-ng: Hindi in few voices."""
    return _espeak(text, rng.choice(HINDI_VOICES), rng)


def speak_espeak_widely(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak with any of espeak-ng's voice variants."""
    return _espeak(text, language + rng.choice(ESPEAK_VARIANTS), rng)


def speak_english_widely(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak English with flite or the British Pico voice."""
    voice = rng.choice([*FLITE_VOICES, "en-GB"])
    if voice == "en-GB":
        return speak_pico(text, voice, rng)
    stretch = f"duration_stretch={rng.uniform(0.85, 1.2):.2f}"
    command = ["flite", "-voice", voice, "--setf", stretch, "-t", text, "-o", "/dev/stdout"]
    return _decoded(subprocess.run(command, capture_output=True, check=True).stdout), f"flite {voice}"


def _espeak(text: str, voice: str, rng: random.Random) -> tuple[Audio, str]:
    command = ["espeak-ng", "-v", voice, "-p", str(rng.randint(35, 65)), "-s", str(rng.randint(135, 185)), "--stdout"]
    wav = subprocess.run([*command, "--", text], capture_output=True, check=True).stdout
    return _decoded(wav), f"espeak-ng {voice}"


def speak_jtalk(text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
    """Speak Japanese with the default voice of Open JTalk."""
    import pyopenjtalk

    speed, half_tone = (1.0, 0.0) if rng.random() < 0.4 else (rng.uniform(0.85, 1.2), rng.uniform(-3, 3))
    audio, rate = pyopenjtalk.tts(text, speed=speed, half_tone=half_tone)
    return _resampled((audio / 32768.0).astype(np.float32), rate), "open-jtalk"


SPEAKERS: dict[str, Speak] = {
    **dict.fromkeys(PICO_VOICES, speak_pico),
    "hi": speak_espeak,
    "ja": speak_jtalk,
}
WIDE_SPEAKERS: dict[str, Speak] = {
    "en": speak_english_widely,
    "es": speak_espeak_widely,
    "it": speak_espeak_widely,
    "hi": speak_espeak_widely,
}


def pieces(sentences: list[Sentence], language: str, excluded: set[str], rng: random.Random) -> Iterator[Sentence]:
    """Yield pieces of one to three words without end; Japanese has no spaces, so its shortest clauses."""
    short = [sentence for sentence in sentences if len(sentence.text) <= 10]
    while True:
        if language == "ja":
            yield rng.choice(short)
            continue
        words = rng.choice(sentences).spoken.split()
        count = rng.choice([1, 1, 2, 2, 3])
        first = rng.randrange(max(1, len(words) - count + 1))
        spoken = " ".join(words[first : first + count])
        text = normalize(spoken, language)
        if text and text not in excluded and len(text) >= 3:
            yield Sentence(spoken, text)


def write_shard(
    path: Path, language: str, voice: Speak, sentences: list[Sentence], rng: random.Random, clips: ClipFolder | None
) -> None:
    """Speak and store the sentences, also as ``clips`` if given."""
    writer, speak = ShardWriter(language), Guarded(voice)
    for sentence in sentences:
        spoken, name_of_voice = speak(sentence.spoken, language, rng)
        if len(spoken) < SAMPLE_RATE // 10 or not np.abs(spoken).max() > 0:
            continue  # nothing was said
        clip = trim(spoken)
        stored = writer.add(clip * np.float32(0.5 / np.abs(clip).max()), sentence.text, name_of_voice)
        if clips:
            clips.add(stored, sentence.text, f"synthesised: {name_of_voice}")
    speak.close()
    if clips:
        clips.write()
    writer.write(path)


def main() -> None:
    """Write the missing shards of one kind, one shard of each language in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kind", choices=["words", "sentences", "wide", "held-out"], required=True)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--languages", nargs="+", choices=sorted(TAGS), default=list(TAGS))
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())["synthesis"]
    folder = arguments.data / "texts"
    excluded = set((folder / "excluded.txt").read_text(encoding="utf-8").splitlines())
    for index in range(arguments.shards):
        for language in arguments.languages:
            path = arguments.data / "features" / f"{language}-{arguments.kind}-{index:02d}"
            voice = (WIDE_SPEAKERS if arguments.kind == "wide" else SPEAKERS).get(language)
            if voice is None or path.with_suffix(".json").exists():
                continue
            rng = random.Random(f"{settings['seed']} {language} {arguments.kind} {index}")
            if arguments.kind == "held-out":
                chosen = texts.read(folder / f"{language}.held-out.jsonl")[: settings["held_out"]]
                write_shard(path, language, voice, chosen, rng, ClipFolder(arguments.data / "held-out", language))
                continue
            sentences = texts.read(folder / f"{language}.jsonl")
            if arguments.kind == "words":
                stream = pieces(sentences, language, excluded, rng)
                chosen = [next(stream) for _ in range(settings["words_per_shard"])]
            else:
                # Round and round: a small language is spoken again, with other speeds and pitches.
                count = settings["sentences_per_shard"]
                chosen = [sentences[(index * count + offset) % len(sentences)] for offset in range(count)]
            write_shard(path, language, voice, chosen, rng, None)


if __name__ == "__main__":
    main()
