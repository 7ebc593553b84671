"""A model for spoken numbers in six languages, and clips that it knows: for tests that need the right words.

`training/numbers` trained it; the bundle is its checkpoint in INT8, as `legato convert` writes it.
"""

from tests.support.paths import DATA

#: Clips of numbers with a manifest; none was used in training.
NUMBERS = DATA / "numbers"
NUMBERS_MODEL = NUMBERS.with_name("numbers-model") / "bundle"
#: A phrase of numbers in each language, `LANGUAGE.flac`; their texts are in `manifest.jsonl`.
NUMBERS_SAMPLES = NUMBERS.with_name("numbers-model") / "samples"
