"""Number words of six languages, and random phrases made of them.

A phrase is a list of items; an item is a pair (spoken, label). The two differ only where the
ordinary spelling would be ambiguous: Italian "ventiquattro" sounds like "venti quattro", and a
recognizer of short phrases cannot tell the two apart, so the label is always "venti quattro".
"""

import random

Item = tuple[str, str]

LANGUAGES: dict[str, str] = {
    "en": "en-US",
    "de": "de-DE",
    "fr": "fr-FR",
    "es": "es-ES",
    "it": "it-IT",
    "hi": "hi-IN",
}


def _words(text: str) -> list[str]:
    return text.split()


# 0 to 12, 20, 30, 50, 100: the words used most.
CORE: dict[str, str] = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve twenty thirty fifty hundred",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig dreißig fünfzig hundert",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze vingt trente cinquante cent",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce veinte treinta cincuenta cien",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici venti trenta cinquanta cento",
    "hi": "शून्य एक दो तीन चार पाँच छह सात आठ नौ दस ग्यारह बारह बीस तीस पचास सौ",
}

EXTRA: dict[str, str] = {
    "en": "thirteen fourteen fifteen sixteen seventeen eighteen nineteen forty sixty seventy eighty ninety thousand",
    "de": "dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn "
    "vierzig sechzig siebzig achtzig neunzig tausend",
    "fr": "treize quatorze quinze seize quarante soixante mille",
    "es": "trece catorce quince dieciséis diecisiete dieciocho diecinueve "
    "cuarenta sesenta setenta ochenta noventa ciento mil",
    "it": "tredici quattordici quindici sedici diciassette diciotto diciannove "
    "quaranta sessanta settanta ottanta novanta mille",
    "hi": "तेरह चौदह पंद्रह सोलह सत्रह अठारह उन्नीस पच्चीस चालीस साठ सत्तर अस्सी नब्बे हज़ार",
}

_EN_TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")
_EN_ONES = _words("one two three four five six seven eight nine")
_DE_TENS = _words("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")
_DE_ONES = _words("ein zwei drei vier fünf sechs sieben acht neun")
_FR_TENS = _words("vingt trente quarante cinquante soixante")
_FR_ONES = _words("deux trois quatre cinq six sept huit neuf")
_ES_TENS = _words("treinta cuarenta cincuenta sesenta setenta ochenta noventa")
_ES_ONES = _words("uno dos tres cuatro cinco seis siete ocho nueve")
_ES_TWENTIES = _words(
    "veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve"
)
_IT_TENS = _words("venti trenta quaranta cinquanta sessanta settanta ottanta novanta")
_IT_ONES = _words("due quattro cinque sei sette nove")
_HI_MULTIPLIERS = _words("एक दो तीन चार पाँच छह सात आठ नौ")


def core_words(language: str) -> list[str]:
    """Return the words most used in phrases."""
    return CORE[language].split()


def all_words(language: str) -> list[str]:
    """Return every single-word number of a language."""
    return core_words(language) + EXTRA[language].split()


def _compound(language: str, rng: random.Random) -> list[Item]:
    """Return one number said with several words (or one long word), such as "twenty five"."""

    def same(*words: str) -> list[Item]:
        return [(word, word) for word in words]

    if language == "en":
        kind = rng.randrange(3)
        if kind == 0:
            return same(rng.choice(_EN_ONES), "hundred")
        if kind == 1:
            return same(rng.choice(_EN_ONES), "thousand")
        return same(rng.choice(_EN_TENS), rng.choice(_EN_ONES))
    if language == "de":
        if rng.random() < 0.25:
            return same(rng.choice(_DE_ONES[1:]), rng.choice(["hundert", "tausend"]))
        return same(rng.choice(_DE_ONES) + "und" + rng.choice(_DE_TENS))
    if language == "fr":
        kind = rng.randrange(5)
        if kind == 0:
            return same(rng.choice(_FR_TENS), "et", "un")
        if kind == 1:
            return same("quatre", "vingt") + (same(rng.choice(_FR_ONES)) if rng.random() < 0.6 else [])
        if kind == 2:
            return same("soixante", rng.choice(["dix", "douze", "treize", "quinze"]))
        if kind == 3:
            return same(rng.choice(_FR_ONES), rng.choice(["cent", "mille"]))
        return same(rng.choice(_FR_TENS), rng.choice(_FR_ONES))
    if language == "es":
        if rng.random() < 0.4:
            return same(rng.choice(_ES_TWENTIES))
        return same(rng.choice(_ES_TENS), "y", rng.choice(_ES_ONES))
    if language == "it":
        tens = rng.choice(_IT_TENS)
        kind = rng.randrange(4)
        if kind == 0:  # the vowel is elided before uno and otto: a word of its own
            word = tens[:-1] + rng.choice(["uno", "otto"])
            return same(word)
        if kind == 1:
            return [(tens + "tré", tens), ("", "tre")]
        ones = rng.choice(_IT_ONES)
        return [(tens + ones, tens), ("", ones)]
    return same(rng.choice(_HI_MULTIPLIERS), rng.choice(["सौ", "हज़ार"]))


def random_phrase(language: str, rng: random.Random, max_words: int, compounds: float = 0.14) -> list[Item]:
    """Return 1 to ``max_words`` labelled words: core words, some others, and a share of compounds."""
    count = rng.randint(1, max_words)
    items: list[Item] = []
    while len(items) < count:
        draw = rng.random()
        if draw < 0.86 * (1 - compounds):
            word = rng.choice(core_words(language))
            items.append((word, word))
        elif draw < 1 - compounds:
            word = rng.choice(all_words(language))
            items.append((word, word))
        else:
            items.extend(_compound(language, rng))
    return items


def spoken(items: list[Item], separator: str = " ") -> str:
    """Return the input of a synthesizer."""
    return separator.join(item[0] for item in items if item[0])


def label(items: list[Item]) -> str:
    """Return the text that the recognizer should write."""
    return " ".join(item[1] for item in items)
