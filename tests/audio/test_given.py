"""Audio in every form in which a program may have it."""

import array
import io
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from legato.audio.given import channel_count, open_given
from legato.errors import AudioError
from tests.support.sounds import encode, tone

SOUND = tone(2.0, 16000)[:, 0]
INT16 = np.round(SOUND * 32767).astype(np.int16)


class Tensor:
    """Converts as a tensor does."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.values


class TensorWithGradients(Tensor):
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")


def read(audio: Any, **choice: Any) -> NDArray[np.float32]:
    with open_given(audio, **choice) as blocks:
        return np.concatenate(list(blocks))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return encode(tmp_path / "a.wav", SOUND[:, None], 16000, "pcm_s16le")


def test_names_and_contents_of_files(path: Path) -> None:
    expected = INT16.astype(np.float32) / 32768
    data = path.read_bytes()

    class Named:
        def __fspath__(self) -> str:
            return str(path)

    with path.open("rb") as file, path.open("rb", buffering=0) as raw:
        for audio in (str(path), path, Named(), f"file://{path}", data, bytearray(data), memoryview(data),
                      io.BytesIO(data), file, raw):  # fmt: skip
            np.testing.assert_array_equal(read(audio), expected)
        assert not file.closed  # it is the caller's


def test_an_open_file_is_read_from_its_position(path: Path) -> None:
    file = io.BytesIO(b"something else" + path.read_bytes())
    file.seek(14)
    assert len(read(file)) == 32000
    file.seek(0, 2)
    with pytest.raises(AudioError, match=r"seek\(0\)"):
        open_given(file)


def test_a_pipe_that_python_reads(path: Path) -> None:
    one, two = socket.socketpair()
    with one, two:
        one.sendall(path.read_bytes())
        one.shutdown(socket.SHUT_WR)
        with two.makefile("rb") as file:
            assert len(read(file)) == 32000


@pytest.mark.parametrize(
    "audio",
    [
        INT16,
        SOUND,
        SOUND.astype(np.float64),
        SOUND.tolist(),
        INT16.tolist(),
        tuple(SOUND.tolist()),
        SOUND[:, None].tolist(),
        array.array("h", INT16.tobytes()),
        memoryview(INT16),  # type: ignore[arg-type]
        Tensor(SOUND),
        Tensor(INT16),
        INT16.astype(np.int32),
        INT16.astype(np.int64),
        INT16.astype(np.float32),
        INT16.astype(np.float64),
        INT16.astype(np.int32) * 256,  # 24 bits
        INT16.astype(np.int32) * 65536,
        INT16.astype(np.int64) * 65536,
        INT16.astype(np.float32) * 65536,
        [INT16[:1000], INT16[1000:]],
        [SOUND[:16000], SOUND[16000:]],
        np.stack([SOUND, SOUND], axis=1),
    ],
    ids=lambda audio: f"{type(audio).__name__}-{getattr(audio, 'dtype', '')}",
)
def test_samples_of_every_kind(audio: Any) -> None:
    np.testing.assert_allclose(read(audio), SOUND, atol=1e-4)
    assert channel_count(audio) == (2 if isinstance(audio, np.ndarray) and audio.ndim == 2 else 1)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.int64, np.float32, np.float64])
def test_blocks_of_every_kind(kind: type) -> None:
    values: NDArray[Any] = INT16.astype(kind) if np.issubdtype(kind, np.integer) else SOUND.astype(kind)

    def blocks() -> Iterator[Any]:
        for start in range(0, len(values), 1000):
            yield values[start : start + 1000] if start % 2000 else values[start : start + 1000].tolist()

    np.testing.assert_allclose(read(blocks() if kind != np.int32 else iter(list(blocks()))), SOUND, atol=1e-4)


def test_values_that_do_not_fit_their_type_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "legato"), open_given(INT16.astype(np.float32)) as blocks:
        list(blocks)
    assert blocks.warnings == ["float32 samples with values of 16 bits: divided by 32768"]
    assert blocks.warnings[0] in caplog.text


def test_floats_with_peaks_keep_their_values() -> None:
    np.testing.assert_array_equal(read(SOUND * 6), SOUND * 6)
    assert open_given(SOUND * 6).warnings == []


@pytest.mark.parametrize("rate", [8000, 44100, np.int64(48000), 8000.0])
def test_the_sample_rate_of_arrays(rate: Any) -> None:
    sound = tone(2.0, int(rate))[:, 0]
    np.testing.assert_allclose(read(sound, sample_rate=rate)[1600:-1600], SOUND[1600:-1600], atol=0.01)
    blocks = (sound[start : start + 999] for start in range(0, len(sound), 999))
    np.testing.assert_allclose(read(blocks, sample_rate=rate)[1600:-1600], SOUND[1600:-1600], atol=0.01)


def test_one_channel_of_everything(path: Path) -> None:
    stereo = np.stack([SOUND * 0, SOUND], axis=1)
    for audio in (stereo, iter([stereo]), [stereo[:5], stereo[5:]], stereo.tolist()):
        np.testing.assert_allclose(read(audio, channel=1), SOUND, atol=1e-6)
    for audio in (SOUND, iter([SOUND]), path):
        np.testing.assert_allclose(read(audio, channel=0), SOUND, atol=1e-4)
        with pytest.raises(AudioError, match="channel 1"):
            read(iter([SOUND]) if isinstance(audio, Iterator) else audio, channel=1)


async def asynchronous() -> AsyncIterator[NDArray[np.float32]]:
    yield SOUND


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (None, "NoneType"),
        (5, "int"),
        ({"array": SOUND, "sampling_rate": 16000}, "dict"),
        (asynchronous(), "async_generator"),
        (b"", "0 bytes"),
        (INT16.tobytes(), "raw samples as an array"),
        (io.StringIO("text"), "open for text"),
        (io.BytesIO(), "0 bytes"),
        ([], "0 samples"),
        (np.zeros(0), "0 samples"),
        (iter([]), "0 samples"),
        ([[1.0, 2.0], [3.0]], "converted"),
        ([True, False], "bool"),
        (["a", "b"], "type"),
        (np.array([1, None]), "object"),
        ([1 + 2j], "complex"),
        (TensorWithGradients(SOUND), "detach"),
        (np.array([1e12, -3e11]), "1e[+]12"),
        (np.array([0, 100, 200], np.uint32), "uint32"),
        (iter([b"\x00\x01"]), "bytes"),
        (iter([1.0, 2.0]), "shape"),
        (iter([np.zeros((2, 2, 2))]), "shape"),
        (np.zeros((2, 16000)), "transpose"),
        ("", "empty"),
        ("a\0b", "no file"),
        ("x" * 5000, "opened|no such file"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_audio(audio: Any, words: str) -> None:
    with pytest.raises(AudioError, match=words) as caught:
        read(audio)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("rate", [0, -1, 16000.5, "16000", None, True, float("nan"), 5_000_000])
def test_impossible_rates(rate: Any) -> None:
    if rate is None:
        assert len(read(SOUND, sample_rate=None)) == 32000
        return
    with pytest.raises(AudioError, match="rate"):
        read(SOUND, sample_rate=rate)


def test_what_can_be_read_only_once_has_no_channels_to_count() -> None:
    for audio in (iter([SOUND]), "https://example.org/a.mp3"):
        with pytest.raises(AudioError, match="choose one channel"):
            channel_count(audio)
    file = io.BytesIO(b"RIFF")
    with pytest.raises(AudioError, match="not an audio file"):
        channel_count(file)
