"""Frames, tokens and times against what NeMo and transformers computed on the same checkpoints and speech."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.audio.source import read_audio
from legato.convert.open import open_checkpoint
from legato.runtime.features import MelState
from tests.conftest import MakeBundle, checkpoint_path
from tests.support.paths import REFERENCES

TOLERANCE = 1e-4
CLIPS = ("en-kathleen-a0419", "de-kerstin-2316", "fox16k")
NEW = (
    "nemo-contexts", "nemo-kernel31", "nemo-ctc", "nemo-bias",
    "transformers-sharded", "transformers-bfloat16", "transformers-heads5", "transformers-bias",
)  # fmt: skip
OLD = {"nemo-r3": "de-DE", "nemo-r13": "de-DE", "transformers-a": "fr-FR", "transformers-b": "fr-FR"}


@dataclass(frozen=True)
class Case:
    """One clip at one right context, and what the framework made of it."""

    checkpoint: str
    clip: str
    right: int
    language: str
    frames: NDArray[np.float32]
    tokens: list[int] | None
    timestamps: list[int] | None

    def __str__(self) -> str:
        return f"{self.checkpoint}-{self.clip}-R{self.right}"


def samples_of(clip: str) -> NDArray[np.float32]:
    if clip == "joined":
        return np.concatenate([samples_of(name) for name in CLIPS])
    [path] = (REFERENCES / "audio").glob(f"{clip}.*")
    return read_audio(path)


def cases() -> Iterator[Case]:
    for checkpoint, language in OLD.items():
        z = np.load(REFERENCES / checkpoint / "expected.npz")
        if checkpoint.startswith("nemo"):
            right = json.loads((REFERENCES / checkpoint / "expected.json").read_text())["right"]
            yield Case(checkpoint, "fox16k", right, language, z["offline"], list(z["tokens"]), list(z["timestamps"]))
            continue
        for right in (0, 1, 3, 6, 13):
            found = (list(z["tokens_R3"]), list(z["timestamps_R3"])) if right == 3 else (None, None)
            yield Case(checkpoint, "fox16k", right, language, z[f"joint_in_R{right}"], *found)
    for checkpoint in NEW:
        z = np.load(REFERENCES / checkpoint / "expected.npz")
        expected = json.loads((REFERENCES / checkpoint / "expected.json").read_text())
        kind = "offline" if checkpoint.startswith("nemo") else "joint_in"
        for clip, about in expected["clips"].items():
            for key in z.files:
                name, _, what = key.rpartition("/")
                if name == clip and what.startswith(f"{kind}_R"):
                    right = int(what.removeprefix(f"{kind}_R"))
                    tokens, times = (list(z[f"{clip}/{part}_R{right}"]) for part in ("tokens", "timestamps"))
                    yield Case(checkpoint, clip, right, about["language"], z[key], tokens, times)


CASES = list(cases())


def recorded(recognizer: legato.Recognizer, case: Case, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Our frames as the framework recorded its own: transformers' are behind the joint's encoder projection."""
    if case.checkpoint.startswith("nemo"):
        return frames
    checkpoint = open_checkpoint(checkpoint_path(case.checkpoint))
    projected: NDArray[np.float32] = frames @ checkpoint.read("joint.enc.weight").T + checkpoint.read("joint.enc.bias")
    return projected


def test_the_references_are_all_there() -> None:
    assert len(CASES) > 80
    assert {case.right for case in CASES if case.checkpoint.startswith("nemo")} == {0, 1, 3, 6, 13}
    assert {case.right for case in CASES if case.checkpoint.startswith("transformers")} == {0, 1, 3, 6, 13}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_frames_tokens_and_times(make_bundle: MakeBundle, case: Case) -> None:
    recognizer = legato.load(make_bundle(case.checkpoint), threads=1)
    samples = samples_of(case.clip)
    options: dict[str, Any] = {"language": case.language, "chunk_ms": 80 * (case.right + 1)}
    frames = recorded(recognizer, case, recognizer.encode(samples, **options))
    expected = case.frames.reshape(-1, case.frames.shape[-1])
    assert frames.shape == expected.shape
    np.testing.assert_allclose(frames, expected, rtol=0, atol=TOLERANCE * expected.std())
    if case.tokens is None:
        return
    # The same through a live stream fed with 20 ms at a time, first and last chunk included.
    with recognizer.stream(**options) as stream:
        for start in range(0, len(samples), 320):
            stream.accept(samples[start : start + 320])
        final = stream.finish()[-1]
    assert isinstance(final, legato.Final)
    assert [token.id for token in final.transcript.tokens] == case.tokens
    assert [token.frame for token in final.transcript.tokens] == case.timestamps
    assert [token.time for token in final.transcript.tokens] == [round(0.08 * t, 3) for t in case.timestamps or []]


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("checkpoint", ["nemo-contexts", "transformers-sharded"])
def test_log_mel(make_bundle: MakeBundle, checkpoint: str, clip: str) -> None:
    expected = np.load(REFERENCES / checkpoint / "expected.npz")[f"{clip}/mel"].T
    front_end = legato.load(make_bundle(checkpoint)).pipeline.front_end
    mel, _ = front_end.accept(samples_of(clip), MelState(), last=True)
    assert len(mel) == len(expected) - 1  # the frameworks give one more frame, of zeros, and say that it is not valid
    np.testing.assert_allclose(mel, expected[:-1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("checkpoint", ["nemo-contexts", "nemo-kernel31", "nemo-ctc"])
def test_text_is_nemos_text(make_bundle: MakeBundle, checkpoint: str) -> None:
    """Apart from language tags, which NeMo leaves in, and bytes at the end that are no whole character."""
    recognizer = legato.load(make_bundle(checkpoint))
    expected = json.loads((REFERENCES / checkpoint / "expected.json").read_text())["clips"]
    compared = 0
    for clip, about in expected.items():
        for key in [key for key in about if key.startswith("R")]:
            transcript = recognizer.transcribe(
                samples_of(clip), language=about["language"], chunk_ms=80 * (int(key[1:]) + 1)
            )
            if not any(token.id in recognizer.bundle.language_tags for token in transcript.tokens):
                got, wanted = (text.strip().rstrip("\ufffd").strip() for text in (transcript.text, about[key]["text"]))
                assert got == wanted
                compared += 1
    assert compared


def test_an_auxiliary_ctc_head_is_dropped(make_bundle: MakeBundle) -> None:
    folder = make_bundle("nemo-ctc")
    assert not any(b"ctc" in file.read_bytes() for file in folder.glob("*.onnx"))
