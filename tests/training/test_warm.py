"""A model that takes over the weights of one with other pieces and fewer layers."""

import tomllib

import pytest

torch = pytest.importorskip("torch", reason="training/small/requirements.txt is not installed")
pytest.importorskip("transformers", reason="training/small/requirements.txt is not installed")

from transformers import Nemotron3_5AsrForRNNT  # noqa: E402

from tests.support.paths import ROOT  # noqa: E402
from training.common.model import build_config, forward_features  # noqa: E402
from training.common.tokenizer import train_bpe  # noqa: E402
from training.small import warm  # noqa: E402
from training.small.languages import CHARACTERS, MARKS  # noqa: E402


def test_pieces_take_the_rows_of_what_they_are_made_of() -> None:
    texts = ["The house, the house.", "Das Haus?", "¿Y la casa? la casa!"] * 20
    lower = [letter for letter in CHARACTERS if letter not in MARKS and letter == letter.lower()]
    plain = ["the house the horse", "das haus", "y la casa"] * 20  # as a model without capitals and marks writes
    old = train_bpe(plain, 120 + len(lower), lower, ["<en-US>", "<de-DE>"])
    new = train_bpe(texts, 300, CHARACTERS, ["<en-US>", "<de-DE>"], alone=MARKS)
    count = old.get_vocab_size()
    weights = {
        warm.EMBEDDING: torch.arange(count)[:, None].float(),
        warm.HEAD: torch.arange(count)[:, None].float(),
        warm.BIAS: torch.zeros(count),
        "encoder.weight": torch.ones(2),
    }
    made = warm.converted(weights, new, old)
    assert made["encoder.weight"] is weights["encoder.weight"]
    assert len(made[warm.HEAD]) == len(made[warm.EMBEDDING]) == len(made[warm.BIAS]) == new.get_vocab_size()

    def rows(piece: str) -> tuple[float, float]:
        index = new.token_to_id(piece)
        return float(made[warm.EMBEDDING][index, 0]), float(made[warm.HEAD][index, 0])

    for piece in ("<en-US>", "<blank>", "e"):
        assert rows(piece) == (old.token_to_id(piece),) * 2
    assert rows("E") == rows("e")
    assert new.token_to_id("▁house") is not None
    parts = old.encode("house").ids
    assert rows("▁house") == (parts[-1], parts[0])
    assert warm.counterparts(new, new) == [[index] for index in range(new.get_vocab_size())]
    for mark in MARKS:
        assert float(made[warm.BIAS][new.token_to_id(mark)]) == -warm.RARE
    assert all(token in MARKS or not {*token} & {*MARKS} for token in new.get_vocab() if not token.startswith("<"))


def test_added_layers_pass_their_input_on() -> None:
    torch.manual_seed(0)
    settings = tomllib.loads((ROOT / "training" / "small" / "config.toml").read_text())["model"]
    small, large = (
        Nemotron3_5AsrForRNNT(build_config({**settings, "num_hidden_layers": count}, 50)).eval() for count in (2, 5)
    )
    for layer in small.encoder.layers:
        torch.nn.init.normal_(layer.norm_out.weight, 1.0, 0.2)
        torch.nn.init.normal_(layer.norm_out.bias, 0.0, 0.2)
    large.load_state_dict(warm.deepened(small.state_dict(), 5))
    mel, frames, prompts = torch.randn(2, 300, 128) * 3 - 8, torch.tensor([300, 200]), torch.tensor([0, 5])
    with torch.no_grad():
        one, other = (forward_features(model, mel, frames, prompts, 3)[0] for model in (small, large))
    assert float((one - other).norm() / one.norm()) < 0.2
    trained = sum(bool(layer.feed_forward1.linear2.weight.any()) for layer in large.encoder.layers)
    assert trained == 2
