"""Words that INT8 bundles keep of FP32's text, alone and in a batch with loud neighbors.

    python -m bench.words_kept FP32 BUNDLE... --manifest MANIFEST [--streams 16] [--chunk-ms 320] [--language auto]

The recordings are those of `bench.kept_set`, or any others; the key `kind` of the manifest groups them. Every recording
is a live stream, alone, and as the first of `--streams` streams that are computed in one batch, whose others are the
same audio from other starting points and up to ten times louder. The figures are those of `legato evaluate`
(`legato.lab.kept`): words / FP32's words, also in the worst recording, first and last word, longest time without text
and FP32's, language of the text.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from legato.audio import read_audio
from legato.audio.manifest import read_entries
from legato.chunks import FRAME_MS
from legato.lab.kept import Kept, Spoken, kept, spoken, total
from legato.lab.normalize import LETTERS
from legato.lab.scoring import UNSPACED_LANGUAGES, base, characters, words
from legato.model.bundle import open_bundle
from legato.recognizer import Recognizer, load_bundle
from legato.types import Final, Samples

_LOUDEST = 10


def recognized(recognizer: Recognizer, rows: list[Samples], chunk_ms: int, language: str) -> Final:
    """Return what the first of several streams of equal length gives, all of them computed in one batch."""
    pipeline = recognizer.pipeline
    states = [recognizer.start(language=language, chunk_ms=chunk_ms) for _ in rows]
    for first in range(0, len(rows[0]), 10 * recognizer.sample_rate):
        end = first + 10 * recognizer.sample_rate
        for state, samples in zip(states, rows, strict=True):
            pipeline.feed(state, samples[first:end], last=end >= len(samples))
        while count := pipeline.ready(states[0]):
            pipeline.step(states, count)
    final = pipeline.conclude(states[0])[-1]
    assert isinstance(final, Final)
    return final


def text_of(recognizer: Recognizer, final: Final, language: str) -> Spoken:
    """Return the text with times."""
    transcript = final.transcript
    normal = LETTERS(transcript.text)
    return spoken(
        characters(normal, language) if base(language) in UNSPACED_LANGUAGES else words(normal),
        ((token.id, token.frame) for token in transcript.tokens),
        recognizer.bundle.language_tags,
        ending=transcript.language,
        duration=transcript.duration,
    )


def neighbors(samples: Samples, streams: int) -> list[Samples]:
    """Return the recording and others that are louder, shifted by a part of its length."""
    gains = np.geomspace(1, _LOUDEST, streams)
    shifts = np.linspace(0, len(samples), streams, endpoint=False).astype(int)
    return [samples] + [
        np.clip(np.roll(samples, -shift) * gain, -1, 1).astype(np.float32)
        for shift, gain in zip(shifts[1:], gains[1:], strict=True)
    ]


def line(name: str, found: list[Kept]) -> str:
    """Return the figures of a group as a line of the table."""
    group = total(found)
    assert group is not None
    shares = (group.share, group.lowest, group.first, group.last)
    figures = " ".join("     -" if share is None else f"{100 * share:6.1f}" for share in shares)
    language = "     -" if group.language is None else f"{100 * group.language:6.1f}"
    return f"{name:40} {figures} {group.gap:6.1f} ({group.complete_gap:.1f}) {language}"


def main(say: Callable[[str], None] = print) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fp32", type=Path, help="the model in FP32")
    parser.add_argument("bundles", type=Path, nargs="+", help="the same model in INT8")
    parser.add_argument("--manifest", type=Path, required=True, help="recordings")
    parser.add_argument("--streams", type=int, default=16, help="streams of the batch")
    parser.add_argument("--chunk-ms", type=int, default=4 * FRAME_MS)
    parser.add_argument("--language", default="manifest", help="manifest: that of the recording; auto: detected")
    parser.add_argument("--kinds", nargs="+", help="only recordings of these kinds")
    arguments = parser.parse_args()
    entries = [
        e for e in read_entries(arguments.manifest) if not arguments.kinds or kind_of(e.fields) in arguments.kinds
    ]
    exact = load_bundle(open_bundle(arguments.fp32), threads=1)
    cases: list[tuple[str, str, str, Samples, Spoken]] = []
    for entry in entries:
        named = entry.language or "auto"
        language = "auto" if arguments.language == "auto" else named
        samples = read_audio(entry.audio)
        final = recognized(exact, [samples], arguments.chunk_ms, language)
        cases.append((kind_of(entry.fields), language, named, samples, text_of(exact, final, named)))
    seconds = sum(len(samples) for *_, samples, _ in cases) / exact.sample_rate
    say(
        f"{len(cases)} recordings, {seconds / 60:.0f} minutes, {sum(len(one.units) for *_, one in cases)} words of FP32"
    )
    say(f"{'bundle, streams, recordings':40}  words lowest  first   last    gap (FP32)  language")
    for folder in arguments.bundles:
        recognizer = load_bundle(open_bundle(folder), threads=1)
        for streams in dict.fromkeys((1, arguments.streams)):
            found: dict[str, list[Kept]] = defaultdict(list)
            for kind, language, named, samples, complete in cases:
                final = recognized(recognizer, neighbors(samples, streams), arguments.chunk_ms, language)
                if one := kept(complete, text_of(recognizer, final, named)):
                    found[kind].append(one)
            for kind, group in found.items():
                say(line(f"{folder.name}, {streams}, {kind}", group))


def kind_of(fields: Mapping[str, object]) -> str:
    """Return the kind of a recording."""
    return str(fields.get("kind", "all"))


if __name__ == "__main__":
    main()
