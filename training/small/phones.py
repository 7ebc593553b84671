"""Write how each stored utterance is pronounced, as a helper target that all languages share.

    python -m training.small.phones --data DATA

Adds ``features/<shard>.phones.json`` to every shard that lacks it: a list of phones for each utterance, by
eSpeak NG through ``phonemizer`` (stress and length dropped), for Japanese from the kana. The spelling of
English or French has to be learned letter by letter; their sounds are those of the other languages too.
"""

import argparse
import json
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

from training.small.languages import plain

VOICES = {"en": "en-us", "de": "de", "fr": "fr-fr", "es": "es", "it": "it", "hi": "hi"}

#: Rare sounds, and those that differ in ways that a small model need not tell apart.
_LIKE = dict(zip("ɐɜɚᵻɒʂʈɖɳʋʝʑɕäɴɽ", "əəəɪɑʃtdnvjʒʃanɾ", strict=True)) | {"ɟ": "dʒ", "c": "tʃ"}
_SOUNDS = "abdefhijklmnoprstuvwxyzæçðøŋœɑɔəɛɡɣɪɲɹɾʀʁʃʊʌʎʒʔβθ"
#: The phones in the order of their classes; a nasal vowel is a phone of its own.
PHONES = [*_SOUNDS, "ɑ̃", "ɛ̃", "ɔ̃", "œ̃", "ã", "ẽ", "ĩ", "õ", "ũ"]
CLASSES = {phone: index for index, phone in enumerate(PHONES)}
_KANA_SOUNDS = {"si": "ʃi", "ti": "tʃi", "tu": "tsu", "hu": "fu", "zi": "dʒi", "du": "zu", "di": "dʒi"}


def phones_of_ipa(text: str) -> list[str]:
    """Return the phones in a text in IPA."""
    found: list[str] = []
    for letter in unicodedata.normalize("NFC", text):
        if letter == "\u0303" and found and found[-1] + letter in CLASSES:
            found[-1] += letter
        else:
            found.extend(sound for sound in _LIKE.get(letter, letter) if sound in CLASSES)
    return found


def phones_of_kana(text: str) -> list[str]:
    """Return the phones of a text in hiragana."""
    sounds = ""
    for letter in text:
        name = unicodedata.name(letter).removeprefix("HIRAGANA LETTER ").lower()
        if name.startswith("small y"):
            # A small letter changes the syllable before it: ki + small ya is kya.
            before = sounds.removesuffix("i")
            glide = "" if before.endswith(("ʃ", "ʒ")) else "j"
            sounds = before + glide + name[-1]
        elif name.startswith("small ") and len(name) == len("small a"):
            sounds = sounds[:-1] + name[-1]
        elif name == "n":
            sounds += "n"
        elif len(name) <= 2:
            sounds += _KANA_SOUNDS.get(name, name.replace("y", "j").replace("r", "ɾ").replace("g", "ɡ"))
    return [sound for sound in sounds if sound in CLASSES]


@cache
def _backend(voice: str) -> Callable[[list[str]], list[str]]:
    from phonemizer.backend import EspeakBackend

    backend = EspeakBackend(voice, language_switch="remove-flags", words_mismatch="ignore")
    return lambda texts: list(backend.phonemize(texts, strip=True))


def phones(texts: list[str], language: str) -> list[list[str]]:
    """Return the phones of each text."""
    if language == "ja":
        return [phones_of_kana(text) for text in texts]
    return [phones_of_ipa(spoken) for spoken in _backend(VOICES[language])(texts)]


def main() -> None:
    """Write the missing files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    for path in sorted((arguments.data / "features").glob("*-[0-9]*.json")):
        target = path.with_suffix(".phones.json")
        if path.name.endswith(".phones.json") or target.exists():
            continue
        records = json.loads(path.read_text(encoding="utf-8"))
        spoken = phones([plain(record["text"]) for record in records], path.name[:2])
        part = target.with_suffix(".part")
        part.write_text(json.dumps(["|".join(entry) for entry in spoken], ensure_ascii=False), encoding="utf-8")
        part.rename(target)


if __name__ == "__main__":
    main()
