"""Random-weight NeMo models of any size, and their streaming loop."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece as spm
import torch
from nemo.collections.asr.models.hybrid_rnnt_ctc_bpe_models_prompt import EncDecHybridRNNTCTCBPEModelWithPrompt
from nemo.collections.asr.models.rnnt_bpe_models_prompt import EncDecRNNTBPEModelWithPrompt
from nemo.collections.asr.parts.utils.streaming_utils import CacheAwareStreamingAudioBuffer
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from clips import SAMPLE_RATE
from greedy import MAX_SYMBOLS, Search, greedy_search
from weights import centre_mel, draw_weights, fit_joint, standardise_output, strengthen_prompt

Audio = NDArray[np.float32]

# Slots as in the published model, as far as they fit into the number of prompts.
PROMPTS = {
    "en-US": 0, "en": 0, "en-GB": 1, "es-ES": 2, "es-US": 3, "es": 3, "hi-IN": 6, "ar-AR": 7, "fr-FR": 8, "fr": 8,
    "de-DE": 9, "de": 9, "ja-JP": 10, "it-IT": 15, "auto": 101,
}  # fmt: skip
TAGS = ("en-US", "de-DE", "fr-FR", "es-US", "hi-IN", "ja-JP", "ar-AR", "it-IT")

PROMPT_GAIN = 2.0

# Enough words to train the smallest tokenizers on; they mean nothing.
SENTENCES = (
    "the morning train leaves at seven and arrives before noon",
    "we counted one two three four five six seven eight nine ten",
    "please speak slowly so that every word is heard",
    "der Morgenzug fährt um sieben und kommt vor Mittag an",
    "wir zählten eins zwei drei vier fünf sechs sieben acht neun zehn",
    "bitte sprechen Sie langsam damit jedes Wort verständlich größer wird",
    "le train du matin part à sept heures et arrive avant midi",
    "nous avons compté un deux trois quatre cinq six sept huit neuf dix",
    "contamos uno dos tres cuatro cinco seis siete ocho nueve diez mañana",
    "सुबह की गाड़ी सात बजे चलती है",
    "朝の電車は七時に出て昼前に着きます",
    "يغادر قطار الصباح في السابعة ويصل قبل الظهر",
)


@dataclass(frozen=True)
class Shape:
    """The sizes of a model. `contexts` are its trained attention contexts, the default first."""

    layers: int
    width: int
    heads: int
    expansion: int
    kernel: int
    channels: int
    contexts: tuple[tuple[int, int], ...]
    predictor: int
    predictor_layers: int
    joint: int
    pieces: int
    prompts: int
    single_context: bool = False
    auxiliary_ctc: bool = False
    use_bias: bool = False
    xscaling: bool = False
    tokenizer: dict[str, Any] = field(default_factory=dict)


def train_tokenizer(folder: Path, pieces: int, options: dict[str, Any]) -> None:
    """Train a SentencePiece model of exactly `pieces` pieces, and write the three files NeMo expects to `folder`."""
    # Trained from and to memory: the model would otherwise record the paths of the machine that made it.
    written = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=written,
        vocab_size=pieces,
        user_defined_symbols=[f"<{tag}>" for tag in TAGS],
        character_coverage=1.0,
        minloglevel=2,
        **{"model_type": "bpe", "normalization_rule_name": "identity", **options},
    )
    model = spm.SentencePieceProcessor(model_proto=written.getvalue())
    vocabulary = [model.id_to_piece(index) for index in range(model.vocab_size())]
    assert len(vocabulary) == pieces
    scores = [f"{piece}\t{model.get_score(index):g}" for index, piece in enumerate(vocabulary)]
    (folder / "tokenizer.model").write_bytes(written.getvalue())
    (folder / "tokenizer.vocab").write_text("\n".join(scores) + "\n", encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")


def build_model(shape: Shape, tokenizer: Path) -> Any:
    """A model of the given shape in evaluation mode."""
    contexts = [list(context) for context in shape.contexts]
    prompts = {name: slot for name, slot in PROMPTS.items() if slot < shape.prompts}
    prompts.setdefault("auto", shape.prompts - 1)
    config: dict[str, Any] = {
        "sample_rate": SAMPLE_RATE,
        "subsampling_factor": 8,
        "model_defaults": {
            "enc_hidden": shape.width,
            "pred_hidden": shape.predictor,
            "joint_hidden": shape.joint,
            "num_prompts": shape.prompts,
            "prompt_dictionary": prompts,
            "initialize_prompt_feature": True,
        },
        "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
        "preprocessor": {
            "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
            "sample_rate": SAMPLE_RATE,
            "normalize": "NA",
            "window_size": 0.025,
            "window_stride": 0.01,
            "window": "hann",
            "features": 128,
            "n_fft": 512,
            "frame_splicing": 1,
            "dither": 0.0,
            "pad_to": 0,
        },
        "encoder": {
            "_target_": "nemo.collections.asr.modules.ConformerEncoder",
            "feat_in": 128,
            "feat_out": -1,
            "n_layers": shape.layers,
            "d_model": shape.width,
            "use_bias": shape.use_bias,
            "subsampling": "dw_striding",
            "subsampling_factor": 8,
            "subsampling_conv_channels": shape.channels,
            "causal_downsampling": True,
            "ff_expansion_factor": shape.expansion,
            "self_attention_model": "rel_pos",
            "n_heads": shape.heads,
            "att_context_size": contexts[0] if shape.single_context else contexts,
            "att_context_style": "chunked_limited",
            "xscaling": shape.xscaling,
            "untie_biases": True,
            "pos_emb_max_len": 5000,
            "conv_kernel_size": shape.kernel,
            "conv_norm_type": "layer_norm",
            "conv_context_size": "causal",
            "dropout": 0.1,
            "dropout_pre_encoder": 0.1,
            "dropout_emb": 0.0,
            "dropout_att": 0.1,
        },
        "decoder": {
            "_target_": "nemo.collections.asr.modules.RNNTDecoder",
            "normalization_mode": None,
            "random_state_sampling": False,
            "blank_as_pad": True,
            "prednet": {
                "pred_hidden": shape.predictor,
                "pred_rnn_layers": shape.predictor_layers,
                "t_max": None,
                "dropout": 0.2,
            },
        },
        "joint": {
            "_target_": "nemo.collections.asr.modules.RNNTJoint",
            "log_softmax": None,
            "preserve_memory": False,
            "fuse_loss_wer": False,
            "fused_batch_size": 4,
            "jointnet": {"joint_hidden": shape.joint, "activation": "relu", "dropout": 0.2},
        },
        "decoding": {"strategy": "greedy_batch", "greedy": {"max_symbols": MAX_SYMBOLS}},
        "loss": {"loss_name": "default"},
        "optim": {"name": "adamw", "lr": 0.001},
    }
    model_class = EncDecRNNTBPEModelWithPrompt
    if shape.auxiliary_ctc:
        model_class = EncDecHybridRNNTCTCBPEModelWithPrompt
        config["aux_ctc"] = {
            "ctc_loss_weight": 0.3,
            "use_cer": False,
            "ctc_reduction": "mean_batch",
            "decoder": {
                "_target_": "nemo.collections.asr.modules.ConvASRDecoder",
                "feat_in": shape.width,
                "num_classes": -1,
                "vocabulary": [],
            },
            "decoding": {"strategy": "greedy"},
        }
    return model_class(cfg=OmegaConf.create(config)).eval()


def mel_of(model: Any, audio: Audio) -> tuple[Tensor, Tensor]:
    """Log-mel [1, 128, T'] and the number of valid frames [1]; T' is one more than that, and the last frame is zero."""
    signal = torch.from_numpy(audio)[None]
    mel, length = model.preprocessor(input_signal=signal, length=torch.tensor([len(audio)]))
    return mel, length


def offline(model: Any, mel: Tensor, length: Tensor, slot: int) -> Tensor:
    """Encoder frames after the language prompt [T, D] of the whole utterance at once."""
    encoded, lengths = model.forward(
        processed_signal=mel, processed_signal_length=length, prompt_indices=torch.tensor([slot])
    )
    return encoded[0].T[: int(lengths[0])]


def use_context(model: Any, left: int, right: int) -> None:
    """Select an attention context; NeMo warns about one that is not in the model's list, and obeys."""
    model.encoder.set_default_att_context_size([left, right])


@dataclass(frozen=True)
class Streamed:
    """What the streaming loop gave: frames [T, D], tokens, the frame of each token, text, and frames a step."""

    frames: Tensor
    tokens: list[int]
    times: list[int]
    text: str
    steps: list[int]


def stream(model: Any, audio: Audio, language: str) -> Streamed:
    """Run NeMo's cache-aware streaming over `audio` in the selected context."""
    model.set_inference_prompt(language)
    buffer = CacheAwareStreamingAudioBuffer(model=model, online_normalization=False, pad_and_drop_preencoded=False)
    buffer.append_audio(audio)
    outputs: list[Tensor] = []
    lengths: list[int] = []
    hooks = [
        model.prompt_kernel.register_forward_hook(lambda _module, _inputs, output: outputs.append(output[0])),
        model.encoder.register_forward_hook(lambda _module, _inputs, output: lengths.append(int(output[1][0]))),
    ]
    channel, time, channel_length = model.encoder.get_initial_cache_state(batch_size=1)
    hypotheses = None
    predictions = None
    for step, (chunk, chunk_lengths) in enumerate(buffer):
        predictions, _, channel, time, channel_length, hypotheses = model.conformer_stream_step(
            processed_signal=chunk,
            processed_signal_length=chunk_lengths,
            cache_last_channel=channel,
            cache_last_time=time,
            cache_last_channel_len=channel_length,
            keep_all_outputs=buffer.is_buffer_empty(),
            previous_hypotheses=hypotheses,
            previous_pred_out=predictions,
            drop_extra_pre_encoded=model.encoder.streaming_cfg.drop_extra_pre_encoded if step else 0,
        )
    for hook in hooks:
        hook.remove()
    frames = torch.cat([output[:length] for output, length in zip(outputs, lengths, strict=True)])
    best = hypotheses[0]
    return Streamed(frames, _integers(best.y_sequence), _integers(best.timestamp), best.text, lengths)


def _integers(values: Any) -> list[int]:
    return [int(value) for value in values]


def decode(model: Any, frames: Tensor) -> tuple[list[int], list[int], str]:
    """NeMo's greedy search over encoder frames [T, D]: tokens, the frame of each, and the text."""
    (best,) = model.decoding.rnnt_decoder_predictions_tensor(
        encoder_output=frames.T[None], encoded_lengths=torch.tensor([len(frames)]), return_hypotheses=True
    )
    return _integers(best.y_sequence), _integers(best.timestamp), best.text


def search(model: Any, frames: Tensor) -> Search:
    """The same search by hand (see `greedy`)."""
    decoder = model.decoder

    def predict(token: int, state: Any) -> tuple[Tensor, Any]:
        output, state = decoder.predict(torch.tensor([[token]]), state, add_sos=False, batch_size=1)
        return output, state

    def join(frame: Tensor, output: Tensor) -> Tensor:
        return model.joint.joint(frame[None, None], output)[0, 0, 0]

    return greedy_search(frames, predict, join, decoder.blank_idx)


@torch.no_grad()
def fit_model(model: Any, clips: list[tuple[Audio, str]], *, seed: int, blank_share: float) -> None:
    """Draw the weights of `model`, and fit its scales to `clips` with their languages (see `weights`)."""
    draw_weights(model, seed)
    embedding = model.decoder.prediction["embed"]
    embedding.weight[embedding.padding_idx].zero_()  # the blank's row, which NeMo keeps at zero
    strengthen_prompt(model.prompt_kernel[0], model.encoder.d_model, PROMPT_GAIN)
    subsampling = model.encoder.pre_encode
    centre_mel(subsampling.conv[0])
    mels = [mel_of(model, audio) for audio, _ in clips]
    outputs = []
    for mel, length in mels:
        output, lengths = subsampling(x=mel.transpose(1, 2), lengths=length)
        outputs.append(output[0, : int(lengths[0])])
    standardise_output(subsampling.out, torch.cat(outputs))

    slots = [model.cfg.model_defaults.prompt_dictionary[language] for _, language in clips]
    standardise_output(
        model.prompt_kernel[2],
        torch.cat([offline(model, mel, length, slot) for (mel, length), slot in zip(mels, slots, strict=True)]),
    )
    frames = torch.cat([offline(model, mel, length, slot) for (mel, length), slot in zip(mels, slots, strict=True)])

    blank = model.decoder.blank_idx
    tokens = torch.randint(blank, (32, 8), generator=torch.Generator().manual_seed(seed))
    tokens[0] = blank
    states = model.decoder.prediction["dec_rnn"](embedding(tokens))[0].flatten(0, 1)
    fit_joint(
        model.joint.enc,
        model.joint.pred,
        model.joint.joint_net[-1],
        frames,
        states,
        blank=blank,
        seed=seed,
        blank_share=blank_share,
    )
