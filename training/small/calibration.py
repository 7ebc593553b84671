"""Write the manifest of the recordings that the embedded model's calibration is fitted on.

    python -m training.small.calibration --data DATA [--without MANIFEST ...]

Writes ``calibration.jsonl``: the parts ``synthesised`` and ``real`` of the test (:mod:`training.small.parts`), as
recorded. The sentences of ``tests/data/speech``, of the samples and of ``--without`` are left out, so that the
calibration can be judged on them.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from legato.audio.manifest import read_entries
from training.small.clips import read_clips
from training.small.languages import normalize
from training.small.parts import TEST_PARTS

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "tests" / "data" / "speech" / "manifest.jsonl"
SAMPLES = ROOT / "src" / "legato" / "assets" / "samples" / "samples.json"

Entry = dict[str, Any]


def judged_on(manifests: Sequence[Path], samples: Path) -> set[str]:
    """Return the texts, as :func:`normalize` writes them, of manifests and of the samples."""
    texts = {(each.fields["text"], each.fields["lang"][:2]) for path in manifests for each in read_entries(path)}
    texts |= {(text, name[:2]) for name, text in json.loads(samples.read_text(encoding="utf-8")).items()}
    return {normalize(text, language) or text for text, language in texts}


def chosen(data: Path, without: set[str]) -> Iterator[Entry]:
    """Yield the entries of the recordings whose sentences are not among these."""
    for kind, language, which, part in TEST_PARTS:
        for entry in read_clips(data / kind, language)[which]:
            if (normalize(entry["text"], language) or entry["text"]) not in without:
                yield entry | {"audio_filepath": f"{kind}/{entry['audio_filepath']}", "part": part}


def main() -> None:
    """Write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--without", type=Path, nargs="+", default=[])
    arguments = parser.parse_args()
    without = judged_on([SPEECH, *arguments.without], SAMPLES)
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in chosen(arguments.data, without)]
    (arguments.data / "calibration.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"{len(lines)} recordings", flush=True)


if __name__ == "__main__":
    main()
