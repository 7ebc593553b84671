"""Phrases and beam search through the library and the command line: live, in files, in any pieces, in the engine."""

import copy
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.audio.source import read_audio
from legato.decode.phrase_trie import PhraseTrie
from legato.decode.phrases import Phrase, compile_phrases
from tests.support.command import failed
from tests.support.command import legato as run
from tests.support.numbers_model import NUMBERS, NUMBERS_MODEL

CLIP = NUMBERS / "en-numbers-pico-1.flac"
FRENCH = "fr-FR"


def noisy(name: str, db: float) -> NDArray[np.float32]:
    samples = read_audio(NUMBERS / name)
    noise = np.random.default_rng(7).normal(size=len(samples)).astype(np.float32)
    level = np.sqrt((samples**2).mean() / 10 ** (db / 10))
    mixed: NDArray[np.float32] = (samples + noise * level).astype(np.float32)
    return mixed


# The trie


def earned(trie: PhraseTrie, tokens: list[int]) -> float:
    """What a whole text earns, an unfinished phrase at its end given back."""
    node, total = 0, 0.0
    for token in tokens:
        scores = trie.scores(node)
        node, bonus = trie.advance(node, token)
        assert scores[token] == pytest.approx(bonus)
        total += bonus
    return total - trie.owed(node)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ([0, 1, 2], 3),
        ([0, 1], 0),  # given back
        ([0, 1, 0, 1, 2], 3),  # by the fail link
        ([9, 0, 1, 2, 9], 3),
        ([0, 1, 2, 0, 1, 2], 6),
        ([5, 6], 2),
        ([5, 6, 7, 8], 8),
        ([5, 6, 7, 9], 2),  # the shorter phrase stays
        ([0, 1, 5, 6], 2),
        ([9, 9], 0),
    ],
)
def test_a_text_earns_what_its_phrases_do(text: list[int], expected: float) -> None:
    trie = PhraseTrie([((0, 1, 2), 3.0), ((5, 6), 2.0), ((5, 6, 7, 8), 8.0)], 10)
    assert earned(trie, text) == pytest.approx(expected)


def test_a_phrase_inside_one_that_failed_is_kept() -> None:
    trie = PhraseTrie([((0, 1, 2, 3), 4.0), ((1, 2), 2.0)], 10)
    assert earned(trie, [0, 1, 2, 9]) == pytest.approx(2)
    assert earned(trie, [0, 1, 2, 3]) == pytest.approx(4)


# Spelling


def test_other_cuts_and_cases_earn_the_same() -> None:
    pieces = ("▁", "▁le", "gato", "L", "e", "g", "a", "t", "o", "l", "▁Le", "<en-US>")
    trie = compile_phrases([("Legato", 1.5)], pieces)
    assert trie is not None
    for cut in (["▁Le", "gato"], ["▁le", "gato"]):
        assert earned(trie, [pieces.index(piece) for piece in cut]) == pytest.approx(3)
    assert earned(trie, [pieces.index("gato")]) == 0


def test_bytes_and_scripts_without_spaces() -> None:
    pieces = ("▁", "東", "京", *(f"<0x{byte:02X}>" for byte in "駅".encode()))
    trie = compile_phrases([("東京駅", 1.0)], pieces)
    assert trie is not None
    assert earned(trie, [1, 2, 3, 4, 5]) == pytest.approx(5)  # within a sentence
    assert earned(trie, [0, 1, 2, 3, 4, 5]) >= 5  # at its start


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("Łódź", "'Ł', 'ź'"),
        ("", "empty"),
        ("  ", "empty"),
        ("seven" * 100, "characters"),
        (("seven", 0.0), "weight 0"),
        (("seven", 11.0), "weight 11"),
        (("seven", float("nan")), "weight nan"),
    ],
)
def test_phrases_that_are_refused(numbers: legato.Recognizer, phrase: str, words: str) -> None:
    with pytest.raises(legato.PhraseError, match=words):
        numbers.stream(phrases=["seven", phrase])


def test_a_text_is_no_list_of_phrases(numbers: legato.Recognizer) -> None:
    with pytest.raises(legato.PhraseError, match=r"\['seven'\]"):
        numbers.stream(phrases="seven")


# Recognition


def test_phrases_recover_words_in_noise(numbers: legato.Recognizer) -> None:
    """Of words that noise drowned, phrases bring back more than they invent."""
    rows = [json.loads(line) for line in (NUMBERS / "manifest.jsonl").read_text("utf-8").splitlines()][:48]
    without = with_phrases = 0
    for row in rows:
        samples, words = noisy(row["audio_filepath"], 5), row["text"].split()
        for phrases in ((), words):
            found = numbers.transcribe(samples, language=row["lang"], phrases=phrases).text.split()
            hits = sum(min(found.count(word), words.count(word)) for word in set(words))
            if phrases:
                with_phrases += hits
            else:
                without += hits
    assert with_phrases > without


def test_silence_stays_silence(numbers: legato.Recognizer) -> None:
    silence = np.zeros(16000 * 4, np.float32)
    for beam in (1, 4):
        assert numbers.transcribe(silence, phrases=[("seven", 10.0)], beam=beam).text == ""


@pytest.mark.parametrize("beam", [1, 4])
def test_stream_and_file_and_engine_agree(numbers: legato.Recognizer, beam: int) -> None:
    recognizer = numbers
    samples = np.concatenate([noisy(f"fr-numbers-{name}.flac", 3) for name in ("pico-1", "espeak-6", "pico-3")])
    plain = recognizer.transcribe(samples, language=FRENCH)
    phrases: list[Phrase] = [("cinq", 3.0), ("trente", 4.0), "neuf"]
    whole = recognizer.transcribe(samples, language=FRENCH, phrases=phrases, beam=beam)
    assert whole.tokens != plain.tokens
    for size in (777, 16000):
        with recognizer.stream(language=FRENCH, phrases=phrases, beam=beam) as stream:
            events = [e for at in range(0, len(samples), size) for e in stream.accept(samples[at : at + size])]
            copied = copy.deepcopy(stream.state)
            events += stream.finish()
        final = events[-1]
        assert isinstance(final, legato.Final)
        assert final.transcript == whole
        texts = [event.text for event in events if isinstance(event, legato.Partial)]
        assert len(texts) > 2
        assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
        assert legato.Stream(recognizer, copied).finish()[-1] == final
    with legato.Engine(recognizer) as engine:
        streams = [
            engine.stream(language=FRENCH, phrases=phrases, beam=beam),
            engine.stream(language=FRENCH),
            engine.stream(language=FRENCH, phrases=["la"], beam=3),
        ]
        for stream_ in streams:
            stream_.accept(samples)
        finals = [stream_.finish()[-1] for stream_ in streams]
    assert finals[0] == final
    assert finals[1] == legato.Final(plain)
    assert finals[2] == legato.Final(recognizer.transcribe(samples, language=FRENCH, phrases=["la"], beam=3))


def test_a_stream_takes_up_other_phrases(numbers: legato.Recognizer) -> None:
    samples = np.concatenate([noisy(f"fr-numbers-{name}.flac", 3) for name in ("pico-1", "espeak-6", "pico-3")])
    phrases: list[Phrase] = [("cinq", 3.0), ("trente", 4.0), "neuf"]
    with numbers.stream(language=FRENCH, phrases=phrases) as stream:
        expected = stream.accept(samples) + stream.commit()
        stream.set_phrases(())
        expected += stream.accept(samples) + stream.finish()
    with numbers.stream(language=FRENCH) as stream:
        assert stream.accept(samples) + stream.commit() != expected[: len(expected) // 2]
    with numbers.stream(language=FRENCH) as stream:
        stream.set_phrases(phrases)
        events = stream.accept(samples) + stream.commit()
        with pytest.raises(legato.PhraseError, match="spell"):
            stream.set_phrases(["\u2603"])
        stream.set_phrases(None)
        assert events + stream.accept(samples) + stream.finish() == expected
    with legato.Engine(numbers) as engine, engine.stream(language=FRENCH) as queued:
        queued.set_phrases(phrases)
        queued.accept(samples)
        queued.commit()
        with pytest.raises(legato.PhraseError, match="spell"):
            queued.set_phrases(["\u2603"])
        queued.set_phrases(None)
        queued.accept(samples)
        assert queued.finish() == expected
    with numbers.stream(beam=4) as stream, pytest.raises(legato.LegatoError, match="beam"):
        stream.set_phrases(phrases)


def test_an_ngram_over_pieces_decides(numbers: legato.Recognizer, tmp_path: Path) -> None:
    """A language model that has never met a number has it taken for another."""
    path = tmp_path / "numbers.arpa"
    entries = [
        f"{-9 if piece == '▁twelve' else -2} {piece}" for piece in numbers.bundle.pieces if not piece.startswith("<")
    ]
    path.write_text(
        "\\data\\\nngram 1=" + str(len(entries)) + "\n\n\\1-grams:\n" + "\n".join(entries) + "\n\\end\\\n", "utf-8"
    )
    plain = numbers.transcribe(CLIP, language="en", beam=4).text
    assert "twelve" in plain
    assert numbers.transcribe(CLIP, language="en", beam=4, lm=path, lm_weight=0).text == plain
    assert "twelve" not in numbers.transcribe(CLIP, language="en", beam=4, lm=path, lm_weight=2).text.split()


# The command line


def test_command_line(tmp_path: Path) -> None:
    arguments = ("transcribe", CLIP, "--model", NUMBERS_MODEL, "--language", "en")
    result = run(*arguments, "--phrase", "twelve=3", "--phrase", "seven", "--beam", "4", home=tmp_path)
    assert result.returncode == 0, result.stderr.decode()
    expected = legato.load(NUMBERS_MODEL).transcribe(CLIP, language="en", phrases=[("twelve", 3.0), "seven"], beam=4)
    assert result.stdout.decode().strip() == expected.text


def test_command_line_errors(tmp_path: Path) -> None:
    arguments = ("transcribe", CLIP, "--model", NUMBERS_MODEL)
    assert "'Ł', 'ź'" in failed(run(*arguments, "--phrase", "Łódź", home=tmp_path))
    words = tmp_path / "words.arpa"
    words.write_text("\\data\\\nngram 1=1\n\n\\1-grams:\n-1 hello\n\\end\\\n")
    assert "another vocabulary" in failed(run(*arguments, "--lm", words, "--beam", "4", home=tmp_path))
    assert "--beam" in failed(run(*arguments, "--beam", "0", home=tmp_path))


def test_phrases_help_in_every_segment(numbers: legato.Recognizer) -> None:
    """Behind an endpoint the search begins anew, and still knows its phrases."""
    clip = noisy("fr-numbers-pico-1.flac", 3)
    samples = np.tile(np.concatenate([clip, np.zeros(48000, np.float32)]), 3)
    phrases: list[Phrase] = [("cinq", 3.0), ("trente", 4.0), "neuf"]
    rules = legato.Endpointing()
    whole = numbers.transcribe(samples, language=FRENCH, phrases=phrases, endpoint=rules)
    assert len(whole.segments) == 3
    plain = numbers.transcribe(samples, language=FRENCH, endpoint=rules)
    assert whole.segments[-1].text != plain.segments[-1].text
    with legato.Engine(numbers) as engine, engine.stream(language=FRENCH, phrases=phrases, endpoint=rules) as stream:
        stream.accept(samples)
        segments = [event for event in stream.finish() if isinstance(event, legato.Segment) and event.text]
    assert tuple(segments) == whole.segments
