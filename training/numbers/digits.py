"""Real English digits: the Free Spoken Digit Dataset (CC BY-SA 4.0) as a bank of isolated words.

    python -m training.numbers.digits --data DATA --recordings FOLDER_OF_WAV_FILES

The files are named ``<digit>_<speaker>_<index>.wav`` (8 kHz). The held-out speaker is left out.
"""

import argparse
import tomllib
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.common.audio import SAMPLE_RATE, trim
from training.numbers.bank import BankWriter
from training.numbers.words import core_words


def main() -> None:
    """Write the bank ``fsdd``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())["digits"]
    with BankWriter(arguments.data / "bank" / "fsdd") as writer:
        for path in sorted(arguments.recordings.glob("*.wav")):
            digit, speaker, index = path.stem.split("_")
            if speaker == settings["held_out_speaker"]:
                continue
            audio, rate = soundfile.read(path, dtype="float32")
            audio = np.asarray(soxr.resample(audio, rate, SAMPLE_RATE), dtype=np.float32)
            writer.add(
                trim(audio, threshold_db=-32.0),
                language="en",
                text=core_words("en")[int(digit)],
                source="fsdd",
                voice=speaker,
                isolated=True,
                dev=int(index) < settings["dev_recordings"],
            )


if __name__ == "__main__":
    main()
