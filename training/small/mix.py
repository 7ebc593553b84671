"""Write the mean of the weights of two models, one of which was trained further from the other.

    python -m training.small.mix --from MODEL --to MODEL --share 0.7 --out MODEL

``--share`` is that of ``--to``. What the second model has forgotten comes back, and little of what it has learned is
lost (Wortsman et al. 2022). The share is chosen on the watched sentences, not on the test.
"""

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from training.common.learner import HELPERS


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", type=Path, required=True, dest="first")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    files = ("model.safetensors", HELPERS)
    mixed = []
    for name in files:
        first, second = (load_file(folder / name) for folder in (arguments.first, arguments.to))
        mixed.append({key: first[key].float().lerp(second[key].float(), arguments.share) for key in second})
    shutil.copytree(arguments.to, arguments.out, dirs_exist_ok=True)
    for name, weights in zip(files, mixed, strict=True):
        save_file(weights, arguments.out / name, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
