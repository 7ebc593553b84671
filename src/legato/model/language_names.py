"""Names of languages: English names, and tags that mean the same as others (from CLDR and Whisper's list)."""

#: Language codes by English name, in lower case. The first name of a code is the usual one.
CODES = {
    "afrikaans": "af", "albanian": "sq", "amharic": "am", "arabic": "ar", "armenian": "hy", "assamese": "as",
    "aymara": "ay", "azerbaijani": "az", "bashkir": "ba", "basque": "eu", "belarusian": "be", "bengali": "bn",
    "bosnian": "bs", "breton": "br", "bulgarian": "bg", "burmese": "my", "cantonese": "yue", "catalan": "ca",
    "chinese": "zh", "croatian": "hr", "czech": "cs", "danish": "da", "dutch": "nl", "english": "en", "estonian": "et",
    "faroese": "fo", "finnish": "fi", "french": "fr", "galician": "gl", "georgian": "ka", "german": "de", "greek": "el",
    "guarani": "gn", "gujarati": "gu", "haitian creole": "ht", "hausa": "ha", "hawaiian": "haw", "hebrew": "he",
    "hindi": "hi", "hungarian": "hu", "icelandic": "is", "igbo": "ig", "indonesian": "id", "irish": "ga",
    "italian": "it", "japanese": "ja", "javanese": "jv", "kannada": "kn", "kazakh": "kk", "khmer": "km",
    "kinyarwanda": "rw", "korean": "ko", "kurdish": "ku", "kyrgyz": "ky", "lao": "lo", "latin": "la", "latvian": "lv",
    "lingala": "ln", "lithuanian": "lt", "luxembourgish": "lb", "macedonian": "mk", "malagasy": "mg", "malay": "ms",
    "malayalam": "ml", "maltese": "mt", "maori": "mi", "marathi": "mr", "mongolian": "mn", "nahuatl": "nah",
    "nepali": "ne", "norwegian": "no", "norwegian bokmål": "nb", "nynorsk": "nn", "nyanja": "ny", "occitan": "oc",
    "odia": "or", "pashto": "ps", "persian": "fa", "polish": "pl", "portuguese": "pt", "punjabi": "pa", "quechua": "qu",
    "romanian": "ro", "russian": "ru", "samoan": "sm", "sanskrit": "sa", "serbian": "sr", "shona": "sn", "sindhi": "sd",
    "sinhala": "si", "slovak": "sk", "slovenian": "sl", "somali": "so", "spanish": "es", "sundanese": "su",
    "swahili": "sw", "swedish": "sv", "tagalog": "tl", "tajik": "tg", "tamil": "ta", "tatar": "tt", "telugu": "te",
    "thai": "th", "tibetan": "bo", "tongan": "to", "turkish": "tr", "turkmen": "tk", "ukrainian": "uk", "urdu": "ur",
    "uzbek": "uz", "vietnamese": "vi", "welsh": "cy", "xhosa": "xh", "yiddish": "yi", "yoruba": "yo", "zulu": "zu",
    "bokmål": "nb", "castilian": "es", "farsi": "fa", "flemish": "nl", "mandarin": "zh", "moldavian": "ro",
    "oriya": "or", "panjabi": "pa", "pushto": "ps", "sinhalese": "si", "valencian": "ca",
}  # fmt: skip

#: The tag to try after another one, both in lower case, where dropping subtags would lose the script or the meaning.
RELATED = {
    "zh-hans": "zh-cn", "zh-sg": "zh-cn", "zh-my": "zh-cn",
    "zh-hant": "zh-tw", "zh-hk": "zh-tw", "zh-mo": "zh-tw",
    "cmn": "zh", "cmn-hans": "zh-cn", "cmn-hant": "zh-tw",
    "es-419": "es-us", "iw": "he", "in": "id", "ji": "yi", "mo": "ro", "tl": "fil", "fil": "tl",
    "nb": "no", "nn": "no", "no": "nb",
}  # fmt: skip

#: The most likely region of a language that has several prompts, in lower case.
LIKELY = {
    "ar": "ar-ar", "cmn": "zh-cn", "en": "en-us", "es": "es-es", "fr": "fr-fr", "hi": "hi-in", "iw": "he-il",
    "ja": "ja-jp", "ko": "ko-kr", "nb": "nb-no", "nn": "nn-no", "no": "nb-no", "pt": "pt-br", "zh": "zh-cn",
}  # fmt: skip
