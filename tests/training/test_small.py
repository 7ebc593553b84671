"""Training of the small model: normalization of texts, held-out texts, scoring of letters, phones."""

import json
from pathlib import Path

import numpy as np
import pytest

from legato.runtime.features import LogMel, MelState
from training.small.languages import CHARACTERS, LETTERS, TAGS, held_out, letters, normalize, plain, write
from training.small.noises import steady
from training.small.phones import phones_of_ipa, phones_of_kana
from training.small.scoring import Score, letter_errors


@pytest.mark.parametrize(
    ("language", "spoken", "written"),
    [
        ("en", "She said: “I don’t know – 'really'!”", "she said i don't know really"),
        ("de", "Ein Straßen-Café?", None),  # é is no German letter
        ("de", "Die Straße ist schön.", "die straße ist schön"),
        ("fr", "Renvoyez-moi l’œuf, s'il vous plaît…", "renvoyez moi l'œuf s'il vous plaît"),
        ("es", "¿Qué año?", "qué año"),
        ("it", "Perché no?", "perché no"),
        ("en", "In 1984", None),
        ("en", "The UNESCO list", None),
        ("hi", "यह क़लम है।", "यह क़लम है"),
        ("ja", "トーキョー、エ！", "とーきょーえ"),
        ("ja", "東京", None),
        ("en", "...", None),
    ],
)
def test_texts_are_written_in_the_letters_of_their_language(language: str, spoken: str, written: str | None) -> None:
    assert normalize(spoken, language) == written
    if written is not None:
        assert set(written) <= {*LETTERS[language], " "}
        assert normalize(written, language) == written


@pytest.mark.parametrize(
    ("language", "spoken", "written"),
    [
        ("en", "she said: “I don’t know – 'really'!”", "She said, I don't know, really!"),
        ("de", "Die Straße ist schön", "Die Straße ist schön."),
        ("fr", "Renvoyez-moi l’œuf, s'il vous plaît…", "Renvoyez-moi l'œuf, s'il vous plaît."),
        ("fr", "Ah ! c'est vous ?", "Ah! c'est vous?"),
        ("es", "«¿Qué año?», ¡hola!", "¿Qué año? ¡hola!"),
        ("it", "perché no,", "Perché no."),
        ("hi", "यह क़लम है।", "यह क़लम है"),
        ("ja", "トーキョー、エ！", "とーきょーえ"),
        ("en", "In 1984", None),
        ("de", "Ein Straßen-Café?", None),
    ],
)
def test_texts_keep_capitals_and_marks(language: str, spoken: str, written: str | None) -> None:
    assert write(spoken, language) == written
    if written is not None:
        assert set(written) <= {*CHARACTERS, " "}
        assert write(written, language) == written
        bare = normalize(spoken, language)
        assert bare is not None
        assert letters(written) == letters(bare)
        assert plain(written) == bare


def test_every_language_has_letters_and_a_tag() -> None:
    assert TAGS.keys() == LETTERS.keys()
    assert len(set(TAGS.values())) == len(TAGS)


def test_held_out_texts_are_always_the_same() -> None:
    texts = [f"sentence {number}" for number in range(4000)]
    kept = [text for text in texts if held_out(text, 40)]
    assert kept[:4] == ["sentence 29", "sentence 65", "sentence 91", "sentence 117"]
    assert len(kept) == 94  # one in forty of 4000 would be 100


def test_letter_errors_leave_tags_out() -> None:
    errors = letter_errors("guten tag", "guden ag<de-DE>")
    assert (errors.wrong, errors.letters, errors.tags) == (2, 9, ("<de-DE>",))
    assert letter_errors("Guten Tag.", "guten tag").wrong == 0
    assert letter_errors("", "ab").wrong == 2
    assert letter_errors("ab", "").wrong == 2
    score = Score()
    score.add(errors)
    score.add(letter_errors("a", "b"))
    assert score.rate == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("とーきょー", "t o k j o"),
        ("しゃしん", "ʃ a ʃ i n"),
        ("じゅっぷん", "dʒ u p u n"),
        ("つぎ", "t s u ɡ i"),
    ],
)
def test_kana_are_pronounced(text: str, phones: str) -> None:
    assert phones_of_kana(text) == [*phones.replace(" ", "")]


def test_phones_have_no_stress_or_length_and_keep_nasal_vowels() -> None:
    assert phones_of_ipa("ʁˌɑ̃vwajˈe") == ["ʁ", "ɑ̃", "v", "w", "a", "j", "e"]
    assert phones_of_ipa("ɪç ˈaʊsɡəʃaltətː") == [*"ɪçaʊsɡəʃaltət"]


def test_recordings_keep_test_texts_out_and_give_words_their_capitals(tmp_path: Path) -> None:
    missing = "training/small/requirements.txt is not installed"
    recordings = pytest.importorskip("training.small.recordings", reason=missing)
    for folder, language, text in [
        ("held-out", "en", "Nobody knew the way."),
        ("real-test", "en", "He turned sharply and faced Gregson."),
        ("unheard", "en", "Please enter your password."),
    ]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{language}.jsonl").write_text(json.dumps({"audio_filepath": "a.flac", "text": text}))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "excluded.txt").write_text("the moon rose late")
    (tmp_path / "texts" / "en.jsonl").write_text(json.dumps({"text": "Then London slept.", "spoken": ""}))
    said = {
        "I WENT TO LONDON WITH HIM": "I went to London with him.",
        "The door, it seems, is shut": "The door, it seems, is shut.",
        "THE MOON ROSE LATE": None,
        "Please enter a password": None,  # nearly a test text
        "In 1984": None,
    }
    (tmp_path / "x.flac").touch()
    common = {"audio": "x.flac", "language": "en-US", "licence": "CC0", "speaker": "one", "use": "train"}
    lines = [json.dumps(common | {"text": text}) + "\n" for text in said]
    (tmp_path / "manifest.jsonl").write_text("".join(lines))
    assert [each.text for each in recordings.read(tmp_path / "manifest.jsonl", tmp_path)] == [
        t for t in said.values() if t
    ]


def test_half_of_steady_noise_is_nearly_white_as_the_front_end_hears_it() -> None:
    rng = np.random.default_rng(0)
    audio = rng.normal(scale=0.1, size=16000 * 20).astype(np.float32)
    heard = np.exp(LogMel().accept(audio, MelState(), last=True)[0]).mean(axis=0)
    slopes = []
    for _ in range(200):
        power = steady(400, rng)
        assert power.shape == (400, 128)
        slopes.append(np.polyfit(np.linspace(0, 1, 128), np.log(power.mean(axis=0) / heard), 1)[0])
    assert 0.45 < np.mean(np.abs(slopes) < 0.7) < 0.75
    assert min(slopes) < -4
    assert steady(40000, rng).shape == (40000, 128)
