"""Beam search against all alignments of a toy transducer, counted out one by one; and against greedy search."""

import gzip
import itertools
import math
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.decode.beam import PATIENCE, beam_search, end_beam
from legato.decode.beam_state import BeamState
from legato.decode.dispatch import Decoding
from legato.decode.greedy import Emission, greedy_search, start_search
from legato.decode.ngram import NGram, open_ngram
from legato.decode.phrase_trie import PhraseTrie
from legato.types import Floats
from tests.conftest import MakeBundle

TOKENS = 2
BLANK = TOKENS
FRAMES = 3
PIECES = ("a", "b")
ARPA = """\\data\\
ngram 1=4
ngram 2=3

\\1-grams:
-99 <s> -0.3
-0.5 </s>
-0.4 a -0.2
-0.7 b -0.1

\\2-grams:
-0.2 <s> b
-0.1 a b
-0.9 b b
\\end\\
"""


class Toy:
    """A transducer whose logits depend on the frame and on the whole history, by tables drawn at random."""

    blank = BLANK

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self._of_frame = generator.normal(size=(64, TOKENS + 1)).astype(np.float32)
        self._of_history = generator.normal(size=(997, TOKENS + 1)).astype(np.float32)

    def initial(self, rows: int) -> tuple[Floats, Floats]:
        return np.zeros((1, rows, 1), np.float32), np.zeros((1, rows, 1), np.float32)

    def predict(self, tokens: NDArray[np.int64], h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        h = ((h * 7 + tokens[None, :, None] + 1) % 997).astype(np.float32)
        return h[0], h, c

    def join(self, frames: Floats, predictions: Floats) -> Floats:
        history = self._of_history[predictions[:, 0].astype(int)]
        logits: Floats = self._of_frame[frames[:, :, 0].astype(int)] + history[:, None]
        return logits


def frames_of(count: int) -> Floats:
    return np.arange(count, dtype=np.float32)[:, None]


def every_way(
    toy: Toy, limit: int, ngram: dict[tuple[int, int], float] | None, weight: float
) -> dict[tuple[int, ...], float]:
    """Probability of every token sequence: the sum over all alignments, `limit` tokens a frame at most."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    of_frame = [emitted for n in range(limit + 1) for emitted in itertools.product(range(TOKENS), repeat=n)]
    for alignment in itertools.product(of_frame, repeat=FRAMES):
        probability = 1.0
        h, c = toy.initial(1)
        prediction, h, c = toy.predict(np.array([BLANK]), h, c)
        last = -1
        for frame, emitted in enumerate(alignment):
            # A frame ends with blank, unless it is full.
            for step in (*emitted, BLANK)[:limit]:
                logits = toy.join(np.array([[[frame]]], np.float32), prediction)[0, 0].astype(float)
                chances = np.exp(logits) / np.exp(logits).sum()
                if ngram is not None:
                    mixed = [chances[token] * ngram[last, token] ** weight for token in range(TOKENS)]
                    chances[:TOKENS] = np.array(mixed) / sum(mixed) * (1 - chances[BLANK])
                probability *= chances[step]
                if step != BLANK:
                    prediction, h, c = toy.predict(np.array([step]), h, c)
                    last = step
        found[tuple(itertools.chain(*alignment))] += probability
    return found


def beam_of(toy: Toy, limit: int, decoding: Decoding) -> tuple[dict[tuple[int, ...], float], tuple[int, ...]]:
    """Probability of every hypothesis, and the tokens of the final decision."""
    state = decoding.begin(start_search(toy))
    [(given, state)] = beam_search(toy, [frames_of(FRAMES)], [state], limit)  # type: ignore[list-item]
    prefix = tuple(emission.token for emission in given)
    probabilities = {prefix + one.key: math.exp(one.score) for one in state.hypotheses}
    rest, _ = end_beam(state)
    return probabilities, prefix + tuple(emission.token for emission in rest)


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_sums_over_all_alignments(seed: int, limit: int) -> None:
    toy = Toy(seed)
    expected = every_way(toy, limit, None, 0)
    assert sum(expected.values()) == pytest.approx(1)
    found, decision = beam_of(toy, limit, Decoding(beam=64 if limit == 1 else 63))
    best = max(expected, key=expected.__getitem__)
    assert decision == best
    if limit == 1:  # 15 sequences: all are in the beam
        assert found == pytest.approx(expected, rel=1e-6)
    else:
        assert found[best] == pytest.approx(expected[best], rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_phrases_add_their_boost_to_whole_phrases_only(seed: int) -> None:
    toy = Toy(seed)
    # The phrase "ab" earns up to 1.5 nats; less where "a" or "b" is nearly all that is not blank.
    trie = PhraseTrie([((0, 1), 1.5)], TOKENS)
    state = Decoding(trie, beam=64).begin(start_search(toy))
    [(given, state)] = beam_search(toy, [frames_of(FRAMES)], [state], 1)  # type: ignore[list-item]
    assert not given
    assert isinstance(state, BeamState)
    ranks = {}
    for one in state.hypotheses:
        whole = "".join(map(str, one.key)).count("01")
        earned = one.bonus - one.open
        assert earned == pytest.approx(0) if not whole else 0 < earned <= 1.5 * whole + 1e-9
        ranks[one.key] = one.score + earned
    assert max(one.bonus - one.open for one in state.hypotheses) > 0.5
    emissions, _ = end_beam(state)
    assert tuple(emission.token for emission in emissions) == max(ranks, key=ranks.__getitem__)


def test_a_phrase_has_no_say_in_whether_a_token_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy(0)
    silence = np.array([-12.0, -9.0, 0.0], np.float32)
    monkeypatch.setattr(toy, "join", lambda _frames, predictions: np.tile(silence, (len(predictions), 1, 1)))
    state = Decoding(PhraseTrie([((0,), 10.0)], TOKENS), beam=4).begin(start_search(toy))
    [(_, state)] = beam_search(toy, [frames_of(FRAMES)], [state], 1)  # type: ignore[list-item]
    assert end_beam(state)[0] == []


@pytest.mark.parametrize("seed", range(5))
def test_an_ngram_shares_out_what_is_not_blank(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "toy.arpa"
    path.write_text(ARPA)
    # By hand: bigrams where there are any, else back-off weight times unigram; -1 is the start.
    logs = {(-1, 0): -0.3 - 0.4, (-1, 1): -0.2, (0, 0): -0.2 - 0.4, (0, 1): -0.1, (1, 0): -0.1 - 0.4, (1, 1): -0.9}
    toy = Toy(seed)
    expected = every_way(toy, 1, {key: 10**log for key, log in logs.items()}, 0.7)
    assert sum(expected.values()) == pytest.approx(1)
    found, decision = beam_of(toy, 1, Decoding(beam=64, ngram=open_ngram(path, PIECES), ngram_weight=0.7))
    assert found == pytest.approx(expected, rel=1e-6)
    assert decision == max(expected, key=expected.__getitem__)


@pytest.mark.parametrize("limit", [1, 3, 10])
@pytest.mark.parametrize("seed", range(10))
def test_a_beam_of_one_is_greedy_search(seed: int, limit: int) -> None:
    toy = Toy(seed)
    start = start_search(toy)
    [(greedy, _)] = greedy_search(toy, [frames_of(40)], [start], limit)
    # Decoding(beam=1) is greedy search itself; this is the other implementation with a beam of 1.
    state = Decoding(beam=2).begin(start)
    [(found, _)] = beam_search(toy, [frames_of(40)], [narrow(state)], limit)
    assert found == greedy
    assert greedy


def narrow(state: object) -> BeamState:
    assert isinstance(state, BeamState)
    return replace(state, width=1)


def test_a_beam_of_one_is_greedy_search_on_a_real_transducer(
    make_bundle: MakeBundle, speech: NDArray[np.float32]
) -> None:
    recognizer = legato.load(make_bundle("transformers-a"), threads=1)
    frames = recognizer.encode(speech[:160000], language="fr-FR")
    transducer = recognizer.pipeline.decoder.transducer
    start = start_search(transducer)
    [(greedy, _)] = greedy_search(transducer, [frames], [start], 10)
    [(found, _)] = beam_search(
        recognizer.pipeline.decoder.transducer, [frames], [narrow(Decoding(beam=2).begin(start))], 10
    )
    assert found == greedy
    assert greedy


@pytest.mark.parametrize("width", [2, 4])
def test_cutting_frames_into_calls_and_rows_changes_nothing(width: int) -> None:
    toy = Toy(3)
    trie = PhraseTrie([((0, 1, 1), 4.0)], TOKENS)
    start = start_search(toy)
    frames = frames_of(60)
    state = Decoding(trie, beam=width).begin(start)
    [(given, last)] = beam_search(toy, [frames], [state], 2)  # type: ignore[list-item]
    whole = given + moved(end_beam(last)[0], 60)
    assert whole
    for size in (1, 3, 7):
        states = [state, Decoding(beam=3).begin(start)]
        found: list[Emission] = []
        for at in range(0, 60, size):
            rows = [frames[at : at + size], frames[: at % 5]]
            [(new, states[0]), (_, states[1])] = beam_search(toy, rows, states, 2)  # type: ignore[arg-type]
            found += moved(new, at)
        assert found + moved(end_beam(states[0])[0], 60) == whole  # type: ignore[arg-type]


def test_tokens_are_given_out_in_good_time() -> None:
    toy = Toy(3)
    state = Decoding(beam=16).begin(start_search(toy))
    [(given, after)] = beam_search(toy, [frames_of(60)], [state], 1)  # type: ignore[list-item]
    assert given
    assert any(one.tokens for one in after.hypotheses)
    assert all(
        frame > 59 - PATIENCE for one in after.hypotheses for frame in (emission.frame for emission in one.tokens)
    )


def moved(emissions: Sequence[Emission], by: int) -> list[Emission]:
    return [Emission(emission.token, emission.frame + by) for emission in emissions]


def test_a_gzipped_ngram_is_the_same(tmp_path: Path) -> None:
    plain, packed = tmp_path / "toy.arpa", tmp_path / "toy.arpa.gz"
    plain.write_text(ARPA)
    packed.write_bytes(gzip.compress(ARPA.encode()))
    both = [open_ngram(path, PIECES) for path in (plain, packed)]
    contexts = [both[0].start(), (0,), (1,)]
    scores = [[ngram.score(context, token) for context in contexts for token in range(3)] for ngram in both]
    assert scores[0] == scores[1]
    assert isinstance(both[0], NGram)
    assert both[0].order == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ARPA.replace("a ", "the ").replace("b ", "cat "), "another vocabulary"),
        (ARPA.replace("\\end\\", ""), "cut off"),
        (ARPA.replace("ngram 2=3", "ngram 2=4"), "broken"),
        (ARPA.replace("-0.9 b b", "-0.9 b"), "line 14"),
        (ARPA.replace("-0.9 b b", "-0.9 b c"), "not among the 1-grams"),
        (ARPA.replace("-0.7 b", "much b"), "line 9"),
        (ARPA.replace("-0.7 b", "nan b"), "line 9"),
        (ARPA.replace("-0.7 b", "inf b"), "line 9"),
        (ARPA.replace("-0.7 b", "500 b"), "line 9: logarithms of probabilities are -1000 to 0"),
        (ARPA.replace("-0.7 b", "-1e308 b"), "line 9"),
        (ARPA.replace("-0.7 b -0.1", "-0.7 b 1e308"), "line 9: logarithms"),
        (ARPA.replace("ngram 2=3", "ngram 2=3\nngram 99999999999999=0"), "line 4"),
        (ARPA.replace("ngram 2=3", "ngram 2=" + "9" * 5000), "line 3"),
        ("hello", "ARPA"),
        ("", "ARPA"),
    ],
)
def test_an_ngram_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.arpa"
    path.write_text(text)
    with pytest.raises(legato.NGramError, match=words) as caught:
        open_ngram(path, PIECES)
    assert str(path) in str(caught.value)


def test_an_ngram_that_is_no_text_or_no_file(tmp_path: Path) -> None:
    binary = tmp_path / "lm.bin"
    binary.write_bytes(bytes(range(256)))
    for path, words in ((binary, "UTF-8"), (tmp_path / "none.arpa", "No such file"), (tmp_path, "directory")):
        with pytest.raises(legato.NGramError, match=words):
            legato.load("embedded").stream(lm=path, beam=4)


def test_a_beam_commits_and_refuses_endpoints(speech: NDArray[np.float32]) -> None:
    recognizer = legato.load("embedded", threads=1)
    cut = 16000 * 2
    stream = recognizer.stream(beam=4)
    stream.accept(speech[:cut])
    *_, segment = stream.commit()
    assert isinstance(segment, legato.Segment)
    whole = recognizer.transcribe(speech[:cut], beam=4)
    assert (segment.text, segment.tokens, segment.words) == (whole.text, whole.tokens, whole.words)
    assert segment.tokens
    assert all(0 < token.confidence < 1 for token in segment.tokens)
    events = stream.accept(speech[cut:]) + stream.finish()
    later = [token.frame for event in events if isinstance(event, legato.Segment) for token in event.tokens]
    assert later
    assert all(frame >= segment.tokens[-1].frame for frame in later)
    for options in ({"beam": 4}, {"beam": 2, "phrases": ["seven"]}):
        with pytest.raises(legato.LegatoError, match="Endpoints"):
            recognizer.stream(endpoint=legato.Endpointing(), **options)


@pytest.mark.parametrize("content", [b"a" * 10**6 + b"\n", b"\n" * 10**6, b"\\data\\\n" + b"\n" * 10**6])
def test_an_ngram_that_unpacks_without_end(tmp_path: Path, content: bytes) -> None:
    """A few kB of gzip that hold a line of 300 MB, or as many empty lines."""
    bomb = tmp_path / "lm.arpa.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(content if content.endswith(b"\n\n") else content.rstrip(b"\n"))
    before = time.process_time()
    with pytest.raises(legato.NGramError):
        open_ngram(bomb, PIECES)
    assert time.process_time() - before < 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a part of POSIX")
def test_a_pipe_or_a_device_is_no_ngram(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(legato.NGramError, match="not a regular file"):
            open_ngram(path, PIECES)
