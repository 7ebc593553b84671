"""The same work by Legato and by peers, and the ratios between them.

    python -m bench.peers.compare FOLDER --audio CLIP... --threads 1 2 --rounds 3 [--regime avx2] --json OUT.json

FOLDER is the result of `bench.peers.setup`. Run it from the root of the repository, in an environment with Legato.
Every measurement is a fresh process in the peer's own environment. A round runs each of them once, so that a change in
the machine's speed affects all. A ratio is taken within a round, and the median over the rounds counts.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bench.peers.cases import Case, cases
from bench.peers.setup import GGUF, NEMO_SPEECH_GGUF, NEMO_SPEECH_LIBRARY, RESTRICTED, ROOT
from bench.peers.targets import Figures, judge, targets
from legato.audio import read_audio
from legato.lab.machine import cpu_name

Number = int | float

_RESTRICT = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
_COLUMNS = (
    ("load_seconds", "load s"),
    ("first_chunk_seconds", "1st chunk s"),
    ("chunk_ms_mean", "ms/chunk"),
    ("chunk_ms_p50", "p50"),
    ("chunk_ms_p95", "p95"),
    ("encoder_ms_mean", "encoder"),
    ("mel_ms_mean", "mel"),
    ("real_time_factor", "RTF"),
    ("streams_in_real_time", "streams"),
    ("symbols_per_second", "symbols/s"),
    ("peak_rss_mb", "RSS MB"),
    ("others_cores", "others"),
)


def measure(case: Case, place: Path, audio: Path, regime: str, wrap: Sequence[str]) -> Figures:
    """Run a case, and return its figures, or the cause of its failure as `error`."""
    kind = "avx2" if regime == "avx2" and case.environment in (*RESTRICTED, "nemo-speech") else "env"
    python = place / kind / case.environment / "bin" / "python"
    if not case.model.exists() or not python.exists():
        return {"error": f"there is no {case.model if python.exists() else python}. Run bench.peers.setup"}
    options = ["--model", case.model, "--mode", case.mode, "--threads", case.threads, "--chunk-ms", case.chunk_ms]
    command = [*wrap, python, "-m", *case.module, *options, audio]
    threads = str(case.threads)
    surroundings = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }
    surroundings |= _RESTRICT if regime == "avx2" else {}
    surroundings["NEMO_SPEECH_LIBRARY"] = str(place / kind / "nemo-speech" / NEMO_SPEECH_LIBRARY)
    if case.environment == "legato":
        surroundings["PYTHONPATH"] = str(ROOT / "src")
    child = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False
    )
    if child.returncode or not child.stdout.strip():
        lines = child.stderr.strip().splitlines() or ["it printed nothing"]
        return {"error": f"{lines[-1]} (exit code {child.returncode})"}
    figures: Figures = json.loads(child.stdout.strip().splitlines()[-1])
    return figures


def read_bandwidth(threads: Sequence[int], wrap: Sequence[str]) -> Figures:
    """Return gigabytes per second by number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bandwidth.json"
        command = [*wrap, sys.executable, str(ROOT / "bench" / "bandwidth.py"), "--json", str(out)]
        subprocess.run([*command, "--threads", *map(str, threads)], check=True, stdout=subprocess.DEVNULL)
        return {number: max(ways.values()) for number, ways in json.loads(out.read_text()).items()}


def write_audio(clips: Sequence[Path], seconds: float, path: Path) -> None:
    """Write all clips, repeated up to a length, as a WAV file at 16 kHz."""
    audio = np.concatenate([read_audio(clip) for clip in clips])
    samples = np.resize(audio, round(16000 * seconds))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def machine() -> Figures:
    """Return the description of this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instructions": [flag for flag in ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8") if flag in flags],
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
    }


def medians(runs: Sequence[Figures]) -> Figures:
    """Return the medians of the numbers over the rounds, and the other values of the first round."""
    good = [run for run in runs if "error" not in run]
    if not good:
        return dict(runs[0])
    return {
        key: statistics.median(run[key] for run in good) if isinstance(value, Number) else value
        for key, value in good[0].items()
        if all(key in run for run in good)
    }


def print_cases(found: dict[str, Figures]) -> None:
    """Print one line per measurement."""
    width = max(len(key) for key in found)
    print(f"{'':{width}} " + " ".join(f"{title:>11}" for _, title in _COLUMNS))
    for key, figures in found.items():
        if "error" in figures:
            print(f"{key:{width}} not measured: {figures['error']}")
        else:
            values = (figures.get(name) for name, _ in _COLUMNS)
            print(f"{key:{width}} " + " ".join(f"{'' if v is None else f'{v:.4g}':>11}" for v in values))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of bench.peers.setup")
    parser.add_argument("--audio", type=Path, nargs="+", required=True, help="clips of speech")
    parser.add_argument("--seconds", type=float, default=30, help="length of the recording made from them")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--regime", choices=("native", "avx2"), default="native", help="avx2: as without AVX-512 and VNNI"
    )
    parser.add_argument("--native", type=Path, help="Legato's bundle (default: models/native-int8)")
    parser.add_argument("--published", type=Path, help="published bundle (default: models/published)")
    parser.add_argument("--checkpoint", type=Path, help="the transformers folder; without it transformers is left out")
    parser.add_argument("--only", nargs="+", help="only cases whose name contains one of these")
    parser.add_argument("--without", nargs="+", default=[], help="leave out cases whose name contains one of these")
    parser.add_argument("--wrap", default="", help="command to run every measurement through, such as 'nice -n -5'")
    parser.add_argument("--pause", type=float, default=0, help="seconds to wait between measurements")
    parser.add_argument("--json", type=Path, help="write all figures here, after each measurement")
    found = parser.parse_args()
    place, wrap = found.folder.absolute(), shlex.split(found.wrap)
    models = {
        "native": (found.native or place / "models" / "native-int8").absolute(),
        "published": (found.published or place / "models" / "published").absolute(),
        "sherpa-onnx 320": place / "models" / "sherpa-onnx" / "320",
        "sherpa-onnx 1120": place / "models" / "sherpa-onnx" / "1120",
        "transcribe-cpp": place / "models" / GGUF,
        "nemo-speech": place / "models" / NEMO_SPEECH_GGUF,
        "transformers": (found.checkpoint or place / "no-checkpoint").absolute(),
    }
    todo = [
        case
        for case in cases(models, found.threads)
        if (not found.only or any(part in case.key for part in found.only))
        and not any(part in case.key for part in found.without)
        and (found.checkpoint or case.environment != "transformers")
    ]
    weights = sum(path.stat().st_size for path in models["native"].glob("encoder.onnx*"))
    wanted = targets(found.threads, weights)
    rounds: list[dict[str, Figures]] = []
    with tempfile.TemporaryDirectory() as folder:
        audio = Path(folder) / "audio.wav"
        write_audio([clip.absolute() for clip in found.audio], found.seconds, audio)
        # Legato makes an optimized copy of a bundle when it loads it for the first time. No round measures that.
        for case in {case.model: case for case in reversed(todo) if "bench.peers.drive_legato" in case.module}.values():
            print(f"before the rounds: {case.key}", file=sys.stderr, flush=True)
            measure(case, place, audio, found.regime, wrap)
        for number in range(found.rounds):
            run: dict[str, Figures] = {"bandwidth": read_bandwidth(found.threads, wrap)}
            rounds.append(run)
            for case in todo:
                print(f"round {number + 1} of {found.rounds}: {case.key}", file=sys.stderr, flush=True)
                run[case.key] = measure(case, place, audio, found.regime, wrap)
                if found.json:
                    write(found.json, found, todo, rounds, judge(rounds, wanted))
                time.sleep(found.pause)
    print(f"{found.regime}, {found.seconds:g} s of audio, {found.rounds} rounds; medians\n")
    print_cases({case.key: medians([run[case.key] for run in rounds]) for case in todo})
    print("\nread bandwidth, GB/s: " + str(medians([run["bandwidth"] for run in rounds])) + "\n")
    for figure in judge(rounds, wanted):
        print(f"{figure['name']:78} {figure['value']:8.3f}  {figure['target']}")


def write(
    path: Path,
    found: argparse.Namespace,
    todo: Sequence[Case],
    rounds: Sequence[dict[str, Figures]],
    judged: Sequence[Figures],
) -> None:
    """Write all figures to a file."""
    about = {**machine(), "regime": found.regime, "seconds": found.seconds, "threads": found.threads}
    listed = [{**asdict(case), "model": case.model.name} for case in todo]
    path.write_text(json.dumps({"about": about, "cases": listed, "rounds": rounds, "figures": judged}, indent=1) + "\n")


if __name__ == "__main__":
    main()
