"""Write one manifest of the test part for `legato evaluate --split-by part`.

    python -m training.small.manifest --data DATA

Writes ``test.jsonl``: the held-out synthesized sentences that were not watched during training (``part`` is
``synthesised``), and the test recordings of Kathleen and Kerstin (``real``).
"""

import argparse
import json
from pathlib import Path

from training.small.clips import read_clips
from training.small.languages import TAGS

#: Held-out sentences of each language that are watched during training; the later ones are for the test.
WATCHED = slice(0, 16)
#: The test part: kind of the shards, which is also the folder of the clips; language; which of them; name in reports.
TEST_PARTS = [
    *(("held-out", language, slice(WATCHED.stop, None), "synthesised") for language in TAGS),
    *(("real-test", language, slice(None), "real") for language in ("en", "de")),
]


def main() -> None:
    """Write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    lines = []
    for kind, language, chosen, part in TEST_PARTS:
        for entry in read_clips(data / kind, language)[chosen]:
            entry |= {"audio_filepath": f"{kind}/{entry['audio_filepath']}", "part": part}
            lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    (data / "test.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
