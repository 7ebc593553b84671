"""Run real clients, with their default settings, against a server, and write the table of what works.

    python interop/run.py [NAME ...] [--cache FOLDER] [--write docs/interop.md]

Each client gets an environment of its own below the cache folder, by default `build/interop`, from PyPI or npm.
`./check interop` runs all of them.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soxr
from stacks import STACKS, Stack
from table import Result, write_table

from legato.audio.source import read_audio

HERE = Path(__file__).parent
ROOT = HERE.parent
SAMPLES = ROOT / "src" / "legato" / "assets" / "samples"
#: Seconds after which the server ends a client that gives no sign of life, and seconds that the scripts are mute.
IDLE, MUTE = 2, 5
#: Seconds that an installation and a script may take.
INSTALL_TIMEOUT, TIMEOUT = 900, 400


def main() -> int:
    """Run the clients; the exit code is 1 if anything did not work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [stack.name for stack in STACKS]
    # Python 3.11 compares the empty list with the choices too.
    parser.add_argument("names", nargs="*", choices=[[], *names], metavar="NAME", help=f"of {', '.join(names)}; or all")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "interop", help="folder for the environments")
    parser.add_argument("--write", type=Path, help="put the table into this file, once every client ran")
    arguments = parser.parse_args()
    cache: Path = arguments.cache.resolve()
    clips = write_clips(cache / "clips")
    chosen = [stack for stack in STACKS if not arguments.names or stack.name in arguments.names]
    failed = False
    for stack in chosen:
        folder = cache / stack.name
        try:
            install(stack, folder)
            results = run(stack, folder, clips)
        except (subprocess.SubprocessError, OSError) as error:
            results = [Result(stack.title, {}, "", {}, {"install": f"{error}"})]
        (cache / f"{stack.name}.json").write_text(json.dumps([result.as_dict() for result in results], indent=1))
        for result in results:
            print(result.line(), flush=True)
        failed = failed or any(result.failures for result in results)
    paths = [cache / f"{name}.json" for name in names]
    if arguments.write is not None and all(path.exists() for path in paths):  # each client ran, now or before
        write_table(arguments.write, [Result(**each) for path in paths for each in json.loads(path.read_text())])
    return int(failed)


def write_clips(folder: Path) -> Path:
    """Write the samples as WAV and raw PCM, which need no codec, and their texts."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in SAMPLES.glob("*.flac"):
        samples = read_audio(path)
        for rate in (16000, 24000):
            resampled = samples if rate == 16000 else soxr.resample(samples, 16000, rate)
            data = (np.clip(resampled, -1, 1) * 32767).astype("<i2").tobytes()
            (folder / f"{path.stem}-{rate}.pcm").write_bytes(data)
            if rate == 16000:
                with wave.open(str(folder / f"{path.stem}.wav"), "wb") as file:
                    file.setparams((1, 2, rate, 0, "NONE", ""))
                    file.writeframes(data)
    texts = json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))
    by_language = {name.removesuffix(".flac"): text for name, text in texts.items()}
    (folder / "texts.json").write_text(json.dumps(by_language), encoding="utf-8")
    return folder


def install(stack: Stack, folder: Path) -> None:
    """Make the environment of a client, unless it is there with the same packages."""
    done = folder / "installed.json"
    if done.exists() and json.loads(done.read_text()) == list(stack.packages):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if stack.is_node:
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        commands = [["npm", "install", "--silent", "--no-audit", "--no-fund", *stack.packages]]
    else:
        pip = [str(python_of(folder)), "-m", "pip", "install", "--quiet", *stack.packages]
        commands = [[stack.python or sys.executable, "-m", "venv", str(folder)], pip]
    with folder.with_suffix(".install.log").open("wb") as log:
        for command in commands:
            subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_TIMEOUT, stdout=log, stderr=log)
    done.write_text(json.dumps(list(stack.packages)))


def python_of(folder: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(stack: Stack, folder: Path, clips: Path) -> list[Result]:
    """Run the script of a client against a server of its own: a result for each interface that it uses."""
    if stack.is_node:  # Node looks for packages from the folder of the script upwards
        for name in (stack.script, "report.mjs"):
            shutil.copy(HERE / name, folder / name)
        command = ["node", str(folder / stack.script)]
    else:
        command = [str(python_of(folder)), str(HERE / stack.script)]
    log = folder.with_suffix(".log")
    with serving(folder, stack.tls) as addresses, log.open("w", encoding="utf-8") as errors:
        variables = {**os.environ, **addresses, "LEGATO_CLIPS": str(clips), "LEGATO_MUTE_SECONDS": str(MUTE)}
        variables.pop("PYTHONPATH", None)
        process = subprocess.Popen(
            command,
            env=variables,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    results = collect(stack, lines, process.returncode, log)
    results[0].failures.update(server_failures(folder.with_suffix(".server.log")))
    return results


def collect(stack: Stack, lines: list[dict[str, object]], code: int, log: Path) -> list[Result]:
    """Sort the lines of a script by interface."""
    versions: dict[str, str] = next((line["versions"] for line in lines if "versions" in line), {})  # type: ignore[misc]
    results: dict[str, Result] = {}
    for line in (line for line in lines if "step" in line):
        interface, name = str(line["interface"]), str(line["step"])
        result = results.setdefault(interface, Result(stack.title, versions, interface, {}, {}))
        if "ok" not in line:
            result.failures[name] = "no answer"
            continue
        result.steps[name] = bool(line["ok"])
        del result.failures[name]
        if not line["ok"]:
            result.failures[name] = str(line["message"])
    if code != 0 or not results:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        result = results.setdefault(*next(iter(results.items()), ("", Result(stack.title, versions, "", {}, {}))))
        result.failures["end"] = f"the script ended with code {code}: {''.join(last)}"
    return list(results.values())


def server_failures(log: Path) -> dict[str, str]:
    """Return what the server logged as an error, wrote without its log, or says of a client that it found idle.

    Clients that connect again by themselves hide such an end.
    """
    for line in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(line) if line.startswith("{") else {"level": "error"}
        if record["level"] in {"error", "critical"} or "idle" in (record.get("reason"), record.get("code")):
            return {"server": line[:300]}
    return {}


@contextmanager
def serving(folder: Path, tls: bool) -> Iterator[dict[str, str]]:
    """Run `legato serve` with the embedded model and a short idle limit; yields environment variables."""
    command = [sys.executable, "-m", "legato", "serve", "--model", "embedded", "--idle-seconds", str(IDLE)]
    command += ["--port", "0", "--wyoming-port", "0"]
    variables = {}
    if tls:
        certificate, key = folder.with_suffix(".pem"), folder.with_suffix(".key")
        make_certificate(certificate, key)
        command += ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)]
        variables["NODE_EXTRA_CA_CERTS"] = str(certificate)
    log = folder.with_suffix(".server.log")
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.fullmatch(r"Legato serves (https?://\S*:\d+) and tcp://\S*:(\d+)\n", said)
            if found is None:
                raise OSError(f"the server did not start; see {log}")
            yield {**variables, "LEGATO_URL": found[1], "LEGATO_WYOMING_PORT": found[2]}
        finally:
            process.terminate()
            process.wait(60)


def make_certificate(certificate: Path, key: Path) -> None:
    """Make a certificate for loopback."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    raise SystemExit(main())
