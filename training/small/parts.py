"""The parts of the data that are watched during training, those that are tested, and the texts that are kept out."""

from pathlib import Path

from training.small.languages import TAGS

#: Held-out sentences of each language that are watched during training; the later ones are for the test.
WATCHED = slice(0, 16)
#: The test part: kind of the shards, which is also the folder of the clips; language; which of them; name in reports.
TEST_PARTS = [
    *(("held-out", language, slice(WATCHED.stop, None), "synthesised") for language in TAGS),
    *(("real-test", language, slice(None), "real") for language in ("en", "de")),
]
UNHEARD_PARTS = [("unheard", language, slice(None), "unheard") for language in ("en", "fr", "es", "it")]
#: The folder and the part of the speakers of :mod:`training.small.recordings` who are only tested with.
SPEAKERS = "speakers"
#: Languages of the readers of :mod:`training.small.aligned` and :mod:`training.small.spoken` who are only tested with.
READERS = ("fr", "es")


def excluded_texts(data: Path) -> set[str]:
    """Return the texts that no voice speaks in training, as ``training.small.texts`` has written them."""
    return set((data / "texts" / "excluded.txt").read_text(encoding="utf-8").splitlines())
