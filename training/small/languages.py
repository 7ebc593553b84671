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

#: Languages that are written with capitals and punctuation.
CASED = ("en", "de", "fr", "es", "it")
#: All letters of all languages in lower case, in a fixed order.
ALPHABET = sorted(set("".join(LETTERS.values())))
#: Punctuation that the model writes.
MARKS = ".,?!¿¡-"
#: All that the model can write but for spaces and tags.
CHARACTERS = sorted({*ALPHABET, *"".join(LETTERS[language] for language in CASED).replace("ß", "").upper(), *MARKS})

_PUNCTUATION = re.compile(r"[\s.,!?;:\"“”„«»‹›()\[\]¿¡…।॥、。！？・「」『』〜\-–—‑]+")
_APOSTROPHES = str.maketrans("’‘ẞ", "''ß")
_ACRONYM = re.compile(r"[A-ZÄÖÜ]{2,}")
_ANY_LETTER = frozenset(ALPHABET)
_KATAKANA = {code: code - 0x60 for code in range(ord("ァ"), ord("ヴ") + 1)}


def plain(text: str) -> str:
    """Return the text in lower case, without punctuation but for apostrophes inside words."""
    text = unicodedata.normalize("NFC", text).translate(_APOSTROPHES)
    words = (word.strip("'") for word in _PUNCTUATION.sub(" ", text.lower()).split())
    return " ".join(word for word in words if word)


def normalize(text: str, language: str) -> str | None:
    """Return the :func:`plain` text, or None if it has anything but letters and punctuation.

    Japanese in hiragana without spaces.
    """
    if language == "ja":
        text = _PUNCTUATION.sub("", unicodedata.normalize("NFC", text).translate(_KATAKANA))
    elif _ACRONYM.search(text):
        return None  # synthesizers differ: some spell it
    else:
        text = plain(text)
    return text if text and set(text) <= {*LETTERS[language], " "} else None


def write(text: str, language: str) -> str | None:
    """Return the text as the model writes it, or None where :func:`normalize` does.

    With capitals, hyphens inside words, and the marks ``. , ? !`` (Spanish also ``¿ ¡``) in the languages of
    ``CASED``: a sentence starts with a capital and ends with a mark. The others as :func:`normalize` writes them.
    """
    bare = normalize(text, language)
    if bare is None or language not in CASED:
        return bare
    text = unicodedata.normalize("NFC", text).translate(_APOSTROPHES)
    text = re.sub(r"\s[-–—]+\s|[—;:]", ",", re.sub(r"…|\.{2,}", ".", text))
    words: list[str] = []
    for raw in re.sub(r"([,.?!]+)", r"\1 ", text).split():
        opening = "".join(mark for mark in "¿¡" if mark in raw)[:1] if language == "es" else ""
        closing = next((mark for mark in "?!.," if mark in raw), "")
        word = re.sub(r"[^\w'-]", "", raw.replace("–", "-").replace("‑", "-")).strip("'-_")
        if word:
            words.append(opening + word + closing)
        elif words and closing:
            words[-1] = words[-1].rstrip(",.") + closing if words[-1][-1] not in "?!" else words[-1]
    written = " ".join(words).rstrip(",")
    if written[-1] not in ".?!":
        written += "."
    written = re.sub(r"^[¿¡]?\w", lambda start: start[0].upper(), written)
    return written if plain(written) == bare else None


def letters(text: str) -> list[str]:
    """Return the letters of a text in lower case, without spaces and marks: what the letters' helper head is taught."""
    return [letter for letter in text.lower() if letter in _ANY_LETTER]


def held_out(text: str, one_of: int) -> bool:
    """Tell by the hash of the text whether a sentence is kept out of training."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % one_of == 0
