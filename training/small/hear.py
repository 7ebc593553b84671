"""Write what Whisper hears in long recordings, word by word with times, for :mod:`training.small.aligned`.

    python -m training.small.hear --model FOLDER --language fr --out FOLDER RECORDING...

Needs ``faster-whisper`` (in an environment of its own, if wanted) and a Whisper model in its format. Writes
``<recording>.json`` for each file: a list of ``[start, end, word]``, times in seconds. Existing files are kept.
"""

import argparse
import json
from pathlib import Path


def main() -> None:
    """Transcribe the recordings one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("model", "out"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--language", required=True)
    parser.add_argument("recordings", type=Path, nargs="+")
    arguments = parser.parse_args()
    from faster_whisper import WhisperModel

    model = WhisperModel(str(arguments.model), device="cpu", compute_type="int8", cpu_threads=1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for recording in arguments.recordings:
        target = arguments.out / f"{recording.stem}.json"
        if target.exists():
            continue
        segments, _ = model.transcribe(
            str(recording),
            language=arguments.language,
            beam_size=1,
            word_timestamps=True,
            condition_on_previous_text=False,  # an error would go on through the recording
            temperature=[0.0, 0.4],
        )
        words = [[word.start, word.end, word.word.strip()] for segment in segments for word in segment.words or []]
        target.write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
        print(f"{recording.name}: {len(words)} words", flush=True)


if __name__ == "__main__":
    main()
