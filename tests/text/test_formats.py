"""A transcript in its formats."""

import json

from legato.text.formats import WRITERS, to_json, to_txt
from legato.types import Segment, Token, Transcript, Word

TEXT = "Subtitles are read by people who cannot hear the words."


def test_the_text_survives() -> None:
    words = tuple(Word(word, 0.4 * i, 0.4 * i + 0.2) for i, word in enumerate(TEXT.split()))
    transcript = Transcript(TEXT, "en-US", (), words, 5.0)
    assert to_txt(transcript) == TEXT + "\n"
    assert json.loads(to_json(transcript))["text"] == TEXT
    assert WRITERS["words"](transcript).split() == TEXT.split()


def test_json_holds_everything() -> None:
    transcript = Transcript(
        "grüß Gott",
        "de-DE",
        (
            Token(5, "\u2581grüß", 0.24, 3, 0.75),
            Token(6, "\u2581Gott", 0.4, 5, 0.5),
            Token(900, "<de-DE>", 0.48, 6, 0.25),
        ),
        (words := (Word("grüß", 0.24, 0.32, 0.75), Word("Gott", 0.4, 0.48, 0.5))),
        1.23456,
        (Segment("grüß Gott", 0.24, 0.48, "de-DE", (), words, "end", confidence=0.5),),
    )
    text = to_json(transcript, model="numbers", file="a.wav")
    assert "grüß" in text
    assert json.loads(text) == {
        "file": "a.wav",
        "model": "numbers",
        "language": "de-DE",
        "duration": 1.235,
        "text": "grüß Gott",
        "segments": [
            {
                "text": "grüß Gott",
                "start": 0.24,
                "end": 0.48,
                "language": "de-DE",
                "reason": "end",
                "confidence": 0.5,
            }
        ],
        "words": [
            {"text": "grüß", "start": 0.24, "end": 0.32, "confidence": 0.75},
            {"text": "Gott", "start": 0.4, "end": 0.48, "confidence": 0.5},
        ],
        "tokens": [
            {"id": 5, "piece": "\u2581grüß", "time": 0.24, "confidence": 0.75},
            {"id": 6, "piece": "\u2581Gott", "time": 0.4, "confidence": 0.5},
            {"id": 900, "piece": "<de-DE>", "time": 0.48, "confidence": 0.25},
        ],
    }


def test_an_empty_transcript() -> None:
    empty = Transcript("", None, (), (), 1.0)
    assert {name: write(empty) for name, write in WRITERS.items() if "json" not in name and name != "ass"} == {
        "txt": "\n",
        "tsv": "start\tend\ttext\n",
        "ctm": "",
        "words": "",
        "srt": "",
        "vtt": "WEBVTT\n",
    }
    assert json.loads(WRITERS["json"](empty))["language"] is None
    assert json.loads(WRITERS["jsonl"](empty))["type"] == "final"


def test_long_pauses_make_paragraphs() -> None:
    segments = tuple(
        Segment(text, start, start + 1, None, (), (), "sentence")
        for text, start in (("One.", 0.0), ("Two.", 2.0), ("Three.", 8.0), ("One.", 20.0))
    )
    assert to_txt(Transcript("One. Two. Three. One.", None, (), (), 30.0, segments)) == "One. Two.\n\nThree.\n\nOne.\n"


def test_long_speech_without_pauses_has_paragraphs_of_whole_sentences() -> None:
    parts = [f"Part {n:03}{' and more' * 8}{'.' if n % 2 else ','}" for n in range(40)]
    segments = tuple(Segment(text, n, n + 1, None, (), (), "sentence") for n, text in enumerate(parts))
    text = to_txt(Transcript(" ".join(parts), None, (), (), 40.0, segments))
    paragraphs = text.rstrip("\n").split("\n\n")
    assert len(paragraphs) > 4
    assert all(each.endswith(".") and 500 < len(each) < 800 for each in paragraphs[:-1])
    assert " ".join(paragraphs) == " ".join(parts)
