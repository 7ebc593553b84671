"""Ctrl-C in the thread of one stream: the streams of other threads continue, and no place is lost."""

import signal
import subprocess
import sys

import pytest

from tests.conftest import MakeBundle

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer interrupts threads here")

#: The main thread has streams that KeyboardInterrupt ends at any place; three threads have streams beside it.
_PROGRAM = """
import random, signal, sys, threading, time
import numpy as np
import legato
from legato.engine import Engine

recognizer = legato.load(sys.argv[1], threads=1)
clip = np.random.default_rng(0).normal(0, 0.1, 6000).astype(np.float32)
with recognizer.stream() as stream:
    expected = stream.accept(clip) + stream.finish()
armed, chance, done = False, random.Random(1), threading.Event()
began, struck, whole, failures = time.monotonic(), 0, [0] * 4, []

def strike(*_):
    signal.setitimer(signal.ITIMER_REAL, chance.choice((2e-4, 3e-3, 3e-2)) * (0.1 + chance.random()))
    if armed:
        raise KeyboardInterrupt

def recognize(number):
    global armed
    armed = armed or number == 0
    with engine.stream() as stream:
        for start in range(0, len(clip), 1000):
            stream.accept(clip[start : start + 1000])
        assert stream.finish() == expected
    whole[number] += 1

def others(number):
    try:
        while not done.is_set():
            recognize(number)
    except BaseException as error:
        failures.append(f"thread {number}: {error!r}")

with Engine(recognizer, max_streams=4, max_queued_seconds=0.05) as engine:
    threads = [threading.Thread(target=others, args=(number,), daemon=True) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    # Some seconds, and on a slow machine as many as it needs.
    while not failures and (passed := time.monotonic() - began) < 250:
        if passed > float(sys.argv[2]) and struck > 100 and min(whole[1:]) > 0:
            break
        try:
            try:
                recognize(0)
            finally:
                armed = False
        except KeyboardInterrupt:
            armed = False
            struck += 1
        except BaseException as error:
            armed = False
            failures.append(f"interrupted thread: {error!r}")
    signal.setitimer(signal.ITIMER_REAL, 0)
    done.set()
    for thread in threads:
        thread.join(60)
    failures += [f"{thread.name} hangs" for thread in threads if thread.is_alive()]
    print(failures, struck > 100, min(whole[1:]) > 0, engine.open_streams, flush=True)
    engine.close(cancel=True)
"""


def test_interrupts_harm_only_their_own_stream(make_bundle: MakeBundle) -> None:
    command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", _PROGRAM, str(make_bundle("nemo-r3")), "5"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert result.stdout == "[] True True 0\n", result.stdout + result.stderr
