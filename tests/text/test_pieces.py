"""Pieces become text, all at once or as they come."""

from hypothesis import given
from hypothesis import strategies as st

from legato.text.pieces import TextBuilder, decode

PIECES = ["▁", "▁the", "er", "n", "▁vingt▁et▁un", "世界", "こん", "สวัสดี", ",", "。", "<unk>", "▁<unk>", "<s>",
          "<0xE4>", "<0xB8>", "<0x96>", "ते", "▁नम"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES)))
def test_growing_text_is_the_text_of_all_pieces(pieces: list[str]) -> None:
    builder = TextBuilder()
    for number, piece in enumerate(pieces, 1):
        builder.add(piece)
        assert builder.text == decode(pieces[:number])


def test_bytes_become_characters_when_they_are_complete() -> None:
    assert decode(["▁", "<0xE4>", "<0xB8>"]) == ""
    assert decode(["▁", "<0xE4>", "<0xB8>", "<0x96>"]) == "世"
