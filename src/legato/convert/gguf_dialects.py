"""The GGUF files of two programs: where each keeps the settings, and how it names the weights of this architecture.

NeMo-Speech.cpp writes the architecture `asr`, transcribe.cpp the architecture `parakeet`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from legato.convert.checks import require
from legato.convert.gguf_file import GGUFFile
from legato.types import MelConfig

#: Decimals of a float32 of the metadata, such as 0.97.
_DECIMALS = 6


class Dialect(ABC):
    """How one program writes this architecture.

    Args:
        file: an open file of that program.
    """

    def __init__(self, file: GGUFFile) -> None:
        self._file = file

    @abstractmethod
    def check(self) -> None:
        """Raise CheckpointError if the settings describe another architecture."""

    @abstractmethod
    def name(self, stored: str) -> str | None:
        """Return NeMo's name of a weight; None for a tensor that is a constant."""

    def planar(self, stored: str) -> bool:
        """Return whether a weight in Q8_0 has its integers before its scales; see `GGUFFile.read`."""
        return False

    @property
    @abstractmethod
    def contexts(self) -> tuple[int, tuple[int, ...]]:
        """The left context and the right contexts, in encoder frames."""

    @property
    @abstractmethod
    def scaled_input(self) -> bool:
        """Whether the subsampled frames are multiplied by the square root of the width."""

    @property
    def max_symbols(self) -> int:
        """The largest number of tokens on one frame."""
        return 10

    @property
    @abstractmethod
    def mel(self) -> MelConfig:
        """The front end."""

    @property
    @abstractmethod
    def pieces(self) -> list[str]:
        """SentencePiece pieces by id, without blank."""

    @property
    @abstractmethod
    def prompts(self) -> dict[str, int]:
        """Language -> prompt slot."""

    def _decimal(self, key: str) -> float:
        return round(self._file.value(key, float), _DECIMALS)


class NemoSpeech(Dialect):
    """Files of NeMo-Speech.cpp. Only the default right context of the checkpoint is in them."""

    architecture = "asr"

    def check(self) -> None:
        """See `Dialect.check`."""
        value = self._file.value
        require(self._file.path, "model", (("head_type", value("asr.head_type", str), "rnnt"),))
        require(
            self._file.path,
            "encoder",
            (
                ("subsampling_factor", value("asr.encoder.subsampling_factor", int), 8),
                ("att_context_style", value("asr.encoder.att_context_style", str), "chunked_limited"),
                ("conv_context", value("asr.encoder.conv_context", str), "causal"),
                ("conv_norm", value("asr.encoder.conv_norm", str), "layer_norm"),
            ),
        )
        require(self._file.path, "preprocessor", (("normalize", value("asr.preprocessor.normalize", str), "NA"),))

    def name(self, stored: str) -> str | None:
        """See `Dialect.name`."""
        if stored == "encoder.pos_enc.pe":
            return None
        stored = re.sub(r"\.lstm\.(ih|hh)_l(\d+)\.(weight|bias)$", r".lstm.\3_\1_l\2", stored)
        return re.sub(r"^joint\.joint_net\.[12]\.", "joint.joint_net.out.", stored)

    def planar(self, stored: str) -> bool:
        """See `Dialect.planar`."""
        part = "qkv_q8_layout" if re.search(r"\.linear_[qkv]\.", stored) else "q8_layout"
        layout = self._file.value(f"asr.encoder.{part}", str, "block_q8_0")
        return stored.startswith("encoder.") and layout == "tensor_planar_v1"

    @property
    def contexts(self) -> tuple[int, tuple[int, ...]]:
        """See `Dialect.contexts`."""
        left, right = (self._file.value(f"asr.encoder.train_{side}_ctx", int) for side in ("left", "right"))
        return left, (right,)

    @property
    def scaled_input(self) -> bool:
        """See `Dialect.scaled_input`."""
        return self._file.value("asr.encoder.xscaling", bool)

    @property
    def max_symbols(self) -> int:
        """See `Dialect.max_symbols`."""
        return self._file.value("asr.rnnt.max_symbols_per_step", int, 10)

    @property
    def mel(self) -> MelConfig:
        """See `Dialect.mel`."""
        rate = self._file.value("asr.preprocessor.sample_rate", int)
        return MelConfig(
            sample_rate=rate,
            mel_bins=self._file.value("asr.preprocessor.features", int),
            fft_length=self._file.value("asr.preprocessor.n_fft", int),
            hop_length=round(rate * self._decimal("asr.preprocessor.window_stride")),
            window_length=round(rate * self._decimal("asr.preprocessor.window_size")),
            pre_emphasis=self._decimal("asr.preprocessor.preemph"),
        )

    @property
    def pieces(self) -> list[str]:
        """See `Dialect.pieces`."""
        return self._file.value("asr.tokenizer.vocab", _strings)

    @property
    def prompts(self) -> dict[str, int]:
        """See `Dialect.prompts`."""

        def parsed(entries: Sequence[str]) -> dict[str, int]:
            pairs = (entry.rsplit(":", 1) for entry in _strings(entries))
            return {language: int(slot) for language, slot in pairs}

        return self._file.value("asr.rnnt.prompt_dictionary", parsed)


class TranscribeCpp(Dialect):
    """Files of transcribe.cpp. They hold one bias per LSTM layer, the sum of torch's two."""

    architecture = "parakeet"

    _RENAMES = (
        (r"^enc\.pre_encode\.", "encoder.pre_encode."),
        (r"^enc\.blocks\.", "encoder.layers."),
        (r"\.norm_ff([12])\.", r".norm_feed_forward\1."),
        (r"\.norm_attn\.", ".norm_self_att."),
        (r"\.ff([12])\.", r".feed_forward\1."),
        (r"\.attn\.", ".self_attn."),
        (r"\.conv\.pointwise([12])\.", r".conv.pointwise_conv\1."),
        (r"\.conv\.depthwise\.", ".conv.depthwise_conv."),
        (r"\.conv\.bn\.", ".conv.batch_norm."),
        (r"^pred\.embed\.", "decoder.prediction.embed."),
        (r"^pred\.lstm\.(\d+)\.Wx$", r"decoder.prediction.dec_rnn.lstm.weight_ih_l\1"),
        (r"^pred\.lstm\.(\d+)\.Wh$", r"decoder.prediction.dec_rnn.lstm.weight_hh_l\1"),
        (r"^pred\.lstm\.(\d+)\.bias$", r"decoder.prediction.dec_rnn.lstm.bias_ih_l\1"),
        (r"^joint\.out\.", "joint.joint_net.out."),
        (r"^prompt\.mlp\.", "prompt_kernel."),
    )

    def check(self) -> None:
        """See `Dialect.check`."""
        value = self._file.value
        require(self._file.path, "model", (("head_kind", value("stt.parakeet.head_kind", str, "tdt"), "rnnt"),))
        require(
            self._file.path,
            "encoder",
            (
                ("subsampling_factor", value("stt.parakeet.encoder.subsampling_factor", int), 8),
                (
                    "att_context_style",
                    value("stt.parakeet.encoder.att_context_style", str, "regular"),
                    "chunked_limited",
                ),
                ("conv_context_right", value("stt.parakeet.encoder.conv_context_right", int, -1), 0),
                ("conv_norm_type", value("stt.parakeet.encoder.conv_norm_type", str, "batch_norm"), "layer_norm"),
            ),
        )
        require(
            self._file.path,
            "front end",
            (
                ("normalize", value("stt.frontend.normalize", str), "none"),
                ("window", value("stt.frontend.window", str), "hann"),
            ),
        )
        require(self._file.path, "joint", (("activation", value("stt.parakeet.joint.activation", str), "relu"),))

    def name(self, stored: str) -> str | None:
        """See `Dialect.name`."""
        for pattern, replacement in self._RENAMES:
            stored = re.sub(pattern, replacement, stored)
        return stored

    @property
    def contexts(self) -> tuple[int, tuple[int, ...]]:
        """See `Dialect.contexts`."""
        encoder = "stt.parakeet.encoder"
        left, right = (self._file.value(f"{encoder}.att_context_{side}", int) for side in ("left", "right"))
        pairs = self._file.value(f"{encoder}.att_context_size_choices", _numbers, [left, right])
        return left, tuple(dict.fromkeys([right, *pairs[1::2]]))

    @property
    def scaled_input(self) -> bool:
        """See `Dialect.scaled_input`."""
        return self._file.value("stt.parakeet.encoder.xscaling", bool, default=False)

    @property
    def mel(self) -> MelConfig:
        """See `Dialect.mel`."""
        value = self._file.value
        return MelConfig(
            sample_rate=value("stt.frontend.sample_rate", int),
            mel_bins=value("stt.frontend.num_mels", int),
            fft_length=value("stt.frontend.n_fft", int),
            hop_length=value("stt.frontend.hop_length", int),
            window_length=value("stt.frontend.win_length", int),
            pre_emphasis=self._decimal("stt.frontend.pre_emphasis"),
        )

    @property
    def pieces(self) -> list[str]:
        """See `Dialect.pieces`."""
        tokens = self._file.value("tokenizer.ggml.tokens", _strings)
        return tokens[: self._file.value("tokenizer.ggml.blank_token_id", int)]

    @property
    def prompts(self) -> dict[str, int]:
        """See `Dialect.prompts`."""
        languages = self._file.value("stt.parakeet.prompt.dictionary.locales", _strings)
        slots = self._file.value("stt.parakeet.prompt.dictionary.indices", _numbers)
        return dict(zip(languages, slots, strict=False))


DIALECTS = {dialect.architecture: dialect for dialect in (NemoSpeech, TranscribeCpp)}
"""Dialects by the `general.architecture` of their files."""


def _strings(values: object) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("not a list of texts")
    return values


def _numbers(values: object) -> list[int]:
    if not isinstance(values, list) or not all(isinstance(value, int) for value in values):
        raise TypeError("not a list of whole numbers")
    return values
