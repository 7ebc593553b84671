import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.text.pieces import SPACE, TextBuilder, decode
from legato.text.words import join_texts, split_words
from legato.types import Token

PIECES = ["▁", "▁the", "er", "n", "▁vingt▁et▁un", "世界", "こん", "สวัสดี", ",", "。", "<unk>", "<s>", "<0xE4>", "<0xB8>",
          "<0x96>", "ते", "▁नम"]  # fmt: skip


def tokens(*pieces: str) -> list[Token]:
    return [Token(i, piece, round(i * 0.08, 3), i) for i, piece in enumerate(pieces)]


@given(st.lists(st.sampled_from(PIECES)))
def test_growing_text_is_the_text_of_all_pieces(pieces: list[str]) -> None:
    builder = TextBuilder()
    for number, piece in enumerate(pieces, 1):
        builder.add(piece)
        assert builder.text == decode(pieces[:number])


def test_bytes_become_characters_when_they_are_complete() -> None:
    assert decode(["▁", "<0xE4>", "<0xB8>"]) == ""
    assert decode(["▁", "<0xE4>", "<0xB8>", "<0x96>"]) == "世"


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["▁hel", "lo", ",", "▁world", "."], ["hello,", "world."]),
        (["hel", "lo"], ["hello"]),
        (["▁vingt▁et▁un", "▁deux"], ["vingt", "et", "un", "deux"]),
        (["▁", "こん", "にちは", "。", "世界"], ["こ", "ん", "に", "ち", "は。", "世", "界"]),
        (["▁は", "「", "NV", "I", "の", "」", "2", "0", "年"], ["は", "「NVI", "の」", "20", "年"]),
        (["▁สวัส", "ดี", "▁ครับ"], ["ส", "วั", "ส", "ดี", "ค", "รั", "บ"]),
        (["▁hi", "<0xE4>", "<0xB8>", "<0x96>", "<0xE4>"], ["hi", "世"]),
        (["▁a", "<unk>", "b", "<s>", "c"], ["a", "\u2047", "bc"]),
        (["▁नम", "स्", "ते", "▁दो"], ["नमस्ते", "दो"]),
        (["▁", "▁", "a"], ["a"]),
        (["▁人々2024"], ["人", "々", "2024"]),
        (["▁〆切と〇x"], ["〆", "切", "と", "〇", "x"]),
        (["▁ｶﾞｷﾞ", "ｰok", "か゛"], ["ｶﾞ", "ｷﾞ", "ｰ", "ok", "か゛"]),
        (["▁㍿ABC", "▁ＧＰＵ", "▁ﾡﾢ"], ["㍿", "ABC", "ＧＰＵ", "ﾡﾢ"]),
        (["▁๒๕", "▁໑໒", "▁១២", "▁၁၂"], ["๒", "๕", "໑", "໒", "១", "២", "၁", "၂"]),
        ([], []),
    ],
)
def test_words(pieces: list[str], words: list[str]) -> None:
    assert [word.text for word in split_words(tokens(*pieces), 0.08)] == words


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["One.", "Two", "", "three."], "One. Two three."),
        (["今日は。", "「明日」", "です。"], "今日は。「明日」です。"),
        (["彼は「うん。」", "『そう』と", "NVIDIA!", "「ええ」"], "彼は「うん。」『そう』とNVIDIA!「ええ」"),
        (["他说：“好！”", "“再见。”", "Bye."], "他说：“好！”“再见。”Bye."),
        (['He said "go."', '"No."', "(Yes)", "네,", "“그래”"], 'He said "go." "No." (Yes) 네, “그래”'),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["«Ja»", "...", "nein", "नमस्ते", "दो।", "तीन"], "«Ja» ... nein नमस्ते दो। तीन"),
        (["人々", "2024年"], "人々2024年"),
        (["〆", "Yes", "〇", "ok", "ｶﾞｷﾞ", "and", "ㄅㄆ"], "〆Yes〇okｶﾞｷﾞandㄅㄆ"),
        (["한국어", "ﾡﾢ", "ＧＰＵ", "2024"], "한국어 ﾡﾢ ＧＰＵ 2024"),
    ],
)
def test_texts_are_joined_as_their_script_is_written(texts: list[str], joined: str) -> None:
    assert join_texts(texts) == joined


def test_word_times_run_from_the_first_token_to_the_end_of_the_last() -> None:
    first, second = split_words(tokens(f"{SPACE}a", "b", "c", f"{SPACE}d"), 0.08)
    assert (first.start, first.end) == (0.0, 0.24)
    assert (second.start, second.end) == (0.24, 0.32)
