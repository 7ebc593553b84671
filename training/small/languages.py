"""The languages: their tags, their letters, and how a text is written for the model."""

import hashlib
import re
import unicodedata

TAGS = {
    "en": "en-US",
    "de": "de-DE",
    "fr": "fr-FR",
    "es": "es-ES",
    "it": "it-IT",
    "hi": "hi-IN",
    "ja": "ja-JP",
}

_LATIN = "abcdefghijklmnopqrstuvwxyz"
LETTERS = {
    "en": _LATIN + "'",
    "de": _LATIN + "äöüß",
    "fr": _LATIN + "àâæçéèêëîïôœùûüÿ'",
    "es": _LATIN + "áéíñóúü",
    "it": _LATIN + "àèéìíîòóùú'",
    # Vowels, consonants, signs and the nukta; the precomposed letters with nukta are written as two by NFC.
    "hi": "ँंःअआइईउऊऋऍएऐऑओऔकखगघङचछजझञटठडढणतथदधनपफबभमयरलळवशषसह़ािीुूृॅेैॉोौ्",
    "ja": "".join(chr(code) for code in range(ord("ぁ"), ord("ゔ") + 1)) + "ー",
}

#: All letters of all languages, in a fixed order.
ALPHABET = sorted(set("".join(LETTERS.values())))

_PUNCTUATION = re.compile(r"[\s.,!?;:\"“”„«»‹›()\[\]¿¡…।॥、。！？・「」『』〜\-–—‑]+")
_ACRONYM = re.compile(r"[A-ZÄÖÜ]{2,}")
_KATAKANA = {code: code - 0x60 for code in range(ord("ァ"), ord("ヴ") + 1)}


def normalize(text: str, language: str) -> str | None:
    """Return the text as the model writes it, or None if it has anything but letters and punctuation.

    Lower case, no punctuation, an apostrophe only inside a word; Japanese in hiragana without spaces.
    """
    text = unicodedata.normalize("NFC", text).replace("’", "'").replace("‘", "'")
    if language == "ja":
        text = _PUNCTUATION.sub("", text.translate(_KATAKANA))
    elif _ACRONYM.search(text):
        return None  # synthesizers differ: some spell it
    else:
        words = _PUNCTUATION.sub(" ", text.lower()).split()
        text = " ".join(word.strip("'") for word in words)
    return text if text and set(text) <= {*LETTERS[language], " "} else None


def held_out(text: str, one_of: int) -> bool:
    """Tell by the hash of the text whether a sentence is kept out of training."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % one_of == 0
