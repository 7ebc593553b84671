"""Write one manifest of the test part for `legato evaluate --split-by part`.

    python -m recipes.small.manifest --data DATA

Writes ``test.jsonl``: the held-out synthesised sentences that the training was not watched with (``part`` is
``synthesised``), and the test recordings of Kathleen and Kerstin (``real``).
"""

import argparse
import json
from pathlib import Path

from recipes.small.languages import TAGS

#: Held-out sentences of each language that the training is watched with; the later ones are for the test.
WATCHED = slice(0, 16)


def main() -> None:
    """Write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    parts = [("held-out", language, WATCHED.stop, "synthesised") for language in TAGS]
    parts += [("real-test", language, 0, "real") for language in ("en", "de")]
    lines = []
    for folder, language, first, part in parts:
        for line in (data / folder / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()[first:]:
            entry = json.loads(line)
            entry |= {"audio_filepath": f"{folder}/{entry['audio_filepath']}", "part": part}
            lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    (data / "test.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
