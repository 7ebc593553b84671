"""Random-weight transformers models, tokenizers and processors of any size."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import (
    Nemotron3_5AsrConfig,
    Nemotron3_5AsrForRNNT,
    Nemotron3_5AsrProcessor,
    NemotronAsrStreamingEncoderConfig,
    NemotronAsrStreamingFeatureExtractor,
    ParakeetTokenizer,
)
from transformers.models.nemotron3_5_asr.processing_nemotron3_5_asr import DEFAULT_PROMPT_DICTIONARY

from clips import SAMPLE_RATE
from greedy import Search, greedy_search
from weights import centre_mel, draw_weights, fit_joint, standardise_output, strengthen_prompt

Audio = NDArray[np.float32]

LOOKAHEADS = (3, 0, 6, 13)
_SPECIAL = ("<unk>", "<s>", "</s>")
_BLANK = "<blank>"
_ALPHABET = "▁etaoinsrhldcumfpgwybvkxjqzäöüßéèçñアイウエオカकरनसतمالبنжри한글中"


@dataclass(frozen=True)
class Shape:
    """The sizes of a model. `left` is the attention's left context in encoder frames."""

    layers: int
    width: int
    heads: int
    feed_forward: int
    kernel: int
    channels: int
    left: int
    predictor: int
    predictor_layers: int
    pieces: int
    prompts: int
    prompt_width: int
    default_lookahead: int = 3
    bias: bool = False
    scale_input: bool = False


def language_tags(count: int) -> list[str]:
    """The first `count` language tags (`<en-US>`) in order of their prompt slots."""
    locales: dict[int, str] = {}
    for locale, slot in DEFAULT_PROMPT_DICTIONARY.items():
        if "-" in locale:
            locales.setdefault(slot, locale)
    return [f"<{locales[slot]}>" for slot in sorted(locales)[:count]]


def generated_tokenizer(pieces: int, tags: list[str], seed: int) -> ParakeetTokenizer:
    """A byte-pair tokenizer of `pieces` pieces made up from a small alphabet; the blank follows the last piece."""
    generator = random.Random(seed)
    vocabulary = [*_SPECIAL, *tags, *_ALPHABET]
    known = set(vocabulary)
    parts = list(_ALPHABET)
    merges: list[tuple[str, str]] = []
    while len(vocabulary) < pieces:
        first, second = generator.choice(parts), generator.choice(parts)
        piece = first + second
        # The word mark stands first in a piece or not at all, as in SentencePiece.
        if piece in known or "▁" in second or len(piece) > 8:
            continue
        known.add(piece)
        vocabulary.append(piece)
        parts.append(piece)
        merges.append((first, second))
    bpe = models.BPE(
        vocab={piece: index for index, piece in enumerate(vocabulary[:pieces])}, merges=merges, unk_token="<unk>"
    )
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_tokens(tags)
    return ParakeetTokenizer(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<unk>", extra_special_tokens=[_BLANK]
    )


def build_processor(shape: Shape, tokenizer: ParakeetTokenizer) -> Nemotron3_5AsrProcessor:
    """A processor with the model's own prompt slots."""
    slots = {locale: slot for locale, slot in DEFAULT_PROMPT_DICTIONARY.items() if slot < shape.prompts}
    slots.setdefault("auto", shape.prompts - 1)
    processor = Nemotron3_5AsrProcessor(
        feature_extractor=NemotronAsrStreamingFeatureExtractor(feature_size=128),
        tokenizer=tokenizer,
        blank_token=_BLANK,
        supported_num_lookahead_tokens=list(LOOKAHEADS),
        default_num_lookahead_tokens=shape.default_lookahead,
        prompt_dictionary=slots,
        num_prompts=shape.prompts,
    )
    assert processor.blank_token_id == shape.pieces
    return processor


def build_model(shape: Shape) -> Nemotron3_5AsrForRNNT:
    """A model of the given shape in evaluation mode."""
    encoder = NemotronAsrStreamingEncoderConfig(
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.feed_forward,
        attention_bias=shape.bias,
        convolution_bias=shape.bias,
        conv_kernel_size=shape.kernel,
        subsampling_conv_channels=shape.channels,
        num_mel_bins=128,
        scale_input=shape.scale_input,
        sliding_window=shape.left + 1,
        default_num_lookahead_tokens=shape.default_lookahead,
    )
    config = Nemotron3_5AsrConfig(
        vocab_size=shape.pieces + 1,
        blank_token_id=shape.pieces,
        decoder_hidden_size=shape.predictor,
        num_decoder_layers=shape.predictor_layers,
        encoder_config=encoder,
        num_prompts=shape.prompts,
        prompt_intermediate_size=shape.prompt_width,
        default_prompt_id=min(101, shape.prompts - 1),
    )
    model = Nemotron3_5AsrForRNNT(config).eval()
    model.generation_config.decoder_start_token_id = shape.pieces
    return model


def mel_of(processor: Nemotron3_5AsrProcessor, audio: Audio) -> tuple[Tensor, Tensor]:
    """Log-mel [1, T, 128] and its mask [1, T] as the processor makes them."""
    inputs = processor(audio, sampling_rate=SAMPLE_RATE, language="auto", return_tensors="pt")
    return inputs["input_features"], inputs["attention_mask"]


@torch.no_grad()
def fit_model(
    model: Nemotron3_5AsrForRNNT,
    processor: Nemotron3_5AsrProcessor,
    clips: list[tuple[Audio, str]],
    *,
    seed: int,
    blank_share: float,
    prompt_gain: float = 1.0,
) -> None:
    """Draw the weights of `model`, and fit its scales to `clips` with their languages (see `weights`)."""
    draw_weights(model, seed)
    strengthen_prompt(model.prompt_projector.linear_1, model.config.encoder_config.hidden_size, prompt_gain)
    subsampling = model.encoder.subsampling
    centre_mel(subsampling.conv_in)
    mels = [mel_of(processor, audio) for audio, _ in clips]
    scale = model.encoder.input_scale
    standardise_output(subsampling.linear, torch.cat([subsampling(mel, mask)[0] for mel, mask in mels]))
    with torch.no_grad():
        subsampling.linear.weight.div_(scale)
        subsampling.linear.bias.div_(scale)

    standardise_output(model.prompt_projector.linear_2, _prompted(model, processor, clips))
    frames = _prompted(model, processor, clips)

    generator = torch.Generator().manual_seed(seed)
    blank = model.config.blank_token_id
    tokens = torch.randint(blank, (8, 32), generator=generator)
    tokens[:, 0] = blank
    states = model.decoder.lstm(model.decoder.embedding(tokens))[0].flatten(0, 1)
    fit_joint(
        model.encoder_projector,
        model.decoder.decoder_projector,
        model.joint.head,
        frames,
        states,
        blank=blank,
        seed=seed,
        blank_share=blank_share,
    )


def encode(
    model: Nemotron3_5AsrForRNNT, processor: Nemotron3_5AsrProcessor, audio: Audio, language: str, right: int
) -> tuple[Tensor, Tensor]:
    """Encoder frames before the prompt [T, D], and what the joint adds up [T, J], with a right context of `right`."""
    inputs = processor(audio, sampling_rate=SAMPLE_RATE, language=language, return_tensors="pt")
    inputs["num_lookahead_tokens"] = right
    outputs = model.get_audio_features(**inputs)
    count = int(outputs.attention_mask.sum())
    return outputs.last_hidden_state[0, :count], outputs.pooler_output[0, :count]


def _prompted(
    model: Nemotron3_5AsrForRNNT, processor: Nemotron3_5AsrProcessor, clips: list[tuple[Audio, str]]
) -> Tensor:
    """Encoder frames after the prompt [N, D] of all clips."""
    outputs: list[Tensor] = []
    hook = model.prompt_projector.register_forward_hook(lambda _module, _inputs, output: outputs.append(output[0]))
    counts = [len(encode(model, processor, audio, language, 3)[0]) for audio, language in clips]
    hook.remove()
    return torch.cat([output[:count] for output, count in zip(outputs, counts, strict=True)])


def decode(
    model: Nemotron3_5AsrForRNNT, processor: Nemotron3_5AsrProcessor, audio: Audio, language: str, right: int
) -> tuple[list[int], list[int], str]:
    """Greedy search as transformers does it: tokens without blanks, the frame of each, and the text."""
    inputs = processor(audio, sampling_rate=SAMPLE_RATE, language=language, return_tensors="pt")
    inputs["num_lookahead_tokens"] = right
    output = model.generate(**inputs, return_dict_in_generate=True)
    frames = output.durations.cumsum(dim=-1) - output.durations
    spoken = output.sequences[0] != model.config.blank_token_id
    text = processor.decode(output.sequences, skip_special_tokens=True)[0]
    return output.sequences[0][spoken].tolist(), frames[0][spoken].tolist(), text


def search(model: Nemotron3_5AsrForRNNT, joint_input: Tensor) -> Search:
    """The same search by hand (see `greedy`) over what `encode` gives the joint [T, J]."""
    decoder = model.decoder

    def predict(token: int, state: Any) -> tuple[Tensor, Any]:
        output, state = decoder.lstm(decoder.embedding(torch.tensor([[token]])), state)
        return decoder.decoder_projector(output)[0, 0], state

    def join(frame: Tensor, output: Tensor) -> Tensor:
        return model.joint(output, frame)

    return greedy_search(joint_input, predict, join, model.config.blank_token_id)
