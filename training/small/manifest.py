"""Write one manifest of the test part for `legato evaluate --split-by part`.

    python -m training.small.manifest --data DATA [--numbers MANIFEST]

Writes ``test.jsonl``. Its ``part`` is ``synthesised`` (the held-out sentences that were not watched during training),
``real`` (the test recordings of Kathleen and Kerstin), ``unheard`` (speakers who are in no training data), ``readers``
(two of LibriVox and one of Spanish sentences, in none either), ``speakers`` (those of other collections whom
:mod:`training.small.recordings` keeps out) or ``numbers`` (``--numbers``: the number phrases of a
manifest of other clips). With a condition, such as ``real, mu-law``: the first clips of a part after a line or a
background, or as they are (``real, clean``), which are written to ``conditions/`` (:mod:`training.small.conditions`).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from training.common.audio import SAMPLE_RATE
from training.numbers.words import LANGUAGES, all_words
from training.small.clips import read_clips
from training.small.conditions import CONDITIONS
from training.small.languages import TAGS
from training.small.parts import READERS, SPEAKERS, TEST_PARTS, UNHEARD_PARTS

#: Clips of a language and part that are also heard in each condition.
CLIPS = 40

Entry = dict[str, Any]


def number_phrases(manifest: Path) -> list[Entry]:
    """Return the entries whose texts are all number words."""
    words = {tag: {*all_words(language), "et", "y", "thousand"} for language, tag in LANGUAGES.items()}
    entries = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    found = [entry for entry in entries if {*entry["text"].split()} <= words.get(entry["lang"], set())]
    return [entry | {"audio_filepath": str((manifest.parent / entry["audio_filepath"]).resolve())} for entry in found]


def heard(data: Path, entries: list[Entry]) -> list[Entry]:
    """Write the clips of one language and part in each condition, and return their entries."""
    audios = [soundfile.read(data / entry["audio_filepath"], dtype="float32")[0] for entry in entries]
    folder = data / "conditions"
    folder.mkdir(exist_ok=True)
    written = []
    for name, change in CONDITIONS.items():
        for index, (entry, audio) in enumerate(zip(entries, audios, strict=True)):
            others = audios[:index] + audios[index + 1 :]
            path = folder / f"{name.partition(' ')[0]}-{entry['part']}-{Path(entry['audio_filepath']).name}"
            if not path.exists():
                changed = change(audio, others, np.random.default_rng(index))
                soundfile.write(path, changed, SAMPLE_RATE)
            relative = str(path.relative_to(data))
            written.append(entry | {"audio_filepath": relative, "part": f"{entry['part']}, {name}"})
    return written


def main() -> None:
    """Write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--numbers", type=Path)
    arguments = parser.parse_args()
    entries: list[Entry] = []
    for kind, language, chosen, part in [*TEST_PARTS, *UNHEARD_PARTS]:
        clips = read_clips(arguments.data / kind, language)[chosen]
        clips = [clip | {"audio_filepath": f"{kind}/{clip['audio_filepath']}", "part": part} for clip in clips]
        entries += clips + heard(arguments.data, clips[:CLIPS])
    for language in READERS:
        folder = f"real-audio/{language}-unheard-10"
        clips = read_clips(arguments.data / folder, language)
        entries += [
            clip | {"audio_filepath": f"{folder}/{clip['audio_filepath']}", "part": "readers"} for clip in clips
        ]
    for language in TAGS:
        if (arguments.data / SPEAKERS / f"{language}.jsonl").exists():
            clips = read_clips(arguments.data / SPEAKERS, language)
            entries += [
                clip | {"audio_filepath": f"{SPEAKERS}/{clip['audio_filepath']}", "part": SPEAKERS} for clip in clips
            ]
    if arguments.numbers:
        entries += [entry | {"part": "numbers"} for entry in number_phrases(arguments.numbers)]
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries]
    (arguments.data / "test.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
