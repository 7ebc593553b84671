"""Shards that are sent to another machine."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="training/small/requirements.txt is not installed")

from training.small.augment import SILENCE
from training.small.pack import pack, unpack


def test_shards_arrive_as_they_were_sent_but_for_the_step(tmp_path: Path) -> None:
    mel = np.random.default_rng(0).normal(-6, 3, (500, 128)).clip(SILENCE).astype(np.float16)
    mel[:40] = SILENCE
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    np.save(here / "de-real-00.npy", mel)
    (here / "de-real-00.json").write_text("[1]")
    (here / "de-real-00.phones.json").write_text('["a|b"]')
    np.save(here / "de-real-01.npy", mel)  # without phones: not complete
    pack(tmp_path / "shards.zip", here, ["*-real-*"], 0.5)
    unpack(tmp_path / "shards.zip", there, "de-real-00")
    found = np.load(there / "de-real-00.npy")
    assert float(np.abs(found.astype(np.float32) - mel.astype(np.float32)).max()) <= 0.26
    assert (found[:40] == np.float16(SILENCE)).all()
    assert (tmp_path / "shards.zip").stat().st_size < mel.nbytes / 3
    assert sorted(path.name for path in there.iterdir()) == [
        "de-real-00.json",
        "de-real-00.npy",
        "de-real-00.phones.json",
    ]
    assert (there / "de-real-00.json").read_text() == "[1]"
