"""The results of a file in Deepgram's shape: channels, utterances, paragraphs and search hits."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from starlette.datastructures import QueryParams

from legato.serve.core.fields import parse_flag, parse_number
from legato.serve.deepgram.messages import bare, word_objects
from legato.serve.deepgram.replace import Replacement, read_replacements, replaced
from legato.text.words import spaces_before
from legato.types import Segment, Transcript, Word

_UTT_SPLIT = 0.8
#: A paragraph ends after a pause of so many seconds, or after so many sentences.
_PARAGRAPH_PAUSE = 1.5
_PARAGRAPH_SENTENCES = 5


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What the response to a file contains.

    Attributes:
        utterances: whether it contains utterances: words between pauses.
        utt_split: pause in seconds that ends an utterance.
        paragraphs: whether it contains paragraphs of sentences.
        languages: whether it contains the detected languages.
        search: phrases to find in the transcript.
        replacements: words to replace in the transcript.
        speakers: whether words name their channel as their speaker.
    """

    utterances: bool
    utt_split: float
    paragraphs: bool
    languages: bool
    search: tuple[str, ...]
    replacements: Sequence[Replacement]
    speakers: bool


def file_options(query: QueryParams, *, languages: bool) -> FileOptions:
    """Read the options of a file from the query.

    Args:
        languages: whether the client asked for detection.

    Raises:
        InvalidValueError: an option is wrong.
    """
    return FileOptions(
        utterances=parse_flag(query.get("utterances", ""), "utterances"),
        utt_split=parse_number(query.get("utt_split") or str(_UTT_SPLIT), 0, 60, "utt_split"),
        paragraphs=parse_flag(query.get("paragraphs", ""), "paragraphs"),
        languages=languages,
        search=tuple(query.getlist("search")),
        replacements=read_replacements(query.getlist("replace")),
        speakers=parse_flag(query.get("diarize", ""), "diarize")
        and parse_flag(query.get("multichannel", ""), "multichannel"),
    )


def file_results(transcripts: Sequence[Transcript], options: FileOptions) -> dict[str, object]:
    """Return the field `results` of the response.

    Args:
        transcripts: the transcript of each channel, or of all channels together.
    """
    transcripts = [replaced(transcript, options.replacements) for transcript in transcripts]
    results: dict[str, object] = {
        "channels": [_channel(number, transcript, options) for number, transcript in enumerate(transcripts)]
    }
    if options.utterances:
        found = [
            (words[0].start, _utterance(number, transcript, words, options))
            for number, transcript in enumerate(transcripts)
            for words in _groups(transcript.words, options.utt_split)
        ]
        results["utterances"] = [utterance for _, utterance in sorted(found, key=lambda each: each[0])]
    return results


def _channel(number: int, transcript: Transcript, options: FileOptions) -> dict[str, object]:
    words = _word_objects(transcript.words, number, options)
    alternative: dict[str, object] = {
        "transcript": transcript.text, "confidence": _confidence(transcript.words), "words": words,
    }  # fmt: skip
    channel: dict[str, object] = {"alternatives": [alternative]}
    if options.languages and transcript.language is not None:
        channel["detected_language"] = transcript.language
        languages = _languages(transcript)
        for word, language in zip(words, languages, strict=False):
            word["language"] = language
        alternative["languages"] = [name for name, _ in Counter(languages).most_common()] or [transcript.language]
    if options.paragraphs:
        alternative["paragraphs"] = _paragraphs(transcript.segments)
    if options.search:
        channel["search"] = [
            {"query": query, "hits": list(_hits(query, transcript.words))} for query in options.search
        ]  # fmt: skip
    return channel


def _languages(transcript: Transcript) -> list[str]:
    """Return the language of every word."""
    return [
        segment.language or transcript.language or "" for segment in transcript.segments for _ in segment.words
    ]  # fmt: skip


def _word_objects(words: Sequence[Word], channel: int, options: FileOptions) -> list[dict[str, object]]:
    speaker = {"speaker": channel} if options.speakers else {}
    return [word | speaker for word in word_objects(words)]


def _utterance(channel: int, transcript: Transcript, words: Sequence[Word], options: FileOptions) -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()), "channel": channel, "start": words[0].start, "end": words[-1].end,
        "confidence": _confidence(words), "transcript": _text(transcript, words),
        "words": _word_objects(words, channel, options), **({"speaker": channel} if options.speakers else {}),
    }  # fmt: skip


def _groups(words: Sequence[Word], pause: float) -> Iterator[list[Word]]:
    """Split words where a pause stands between two of them."""
    group = list(words[:1])
    for before, word in pairwise(words):
        if word.start - before.end >= pause:
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _text(transcript: Transcript, words: Sequence[Word]) -> str:
    """Return the text of successive words of a transcript."""
    spaces = dict(zip(map(id, transcript.words), spaces_before(transcript.text, transcript.words), strict=False))
    return "".join(" " * spaces.get(id(word), True) + word.text for word in words).strip()


def _paragraphs(sentences: Sequence[Segment]) -> dict[str, object]:
    groups: list[list[Segment]] = []
    for sentence in sentences:
        last = groups[-1] if groups else []
        if not last or len(last) == _PARAGRAPH_SENTENCES or sentence.start - last[-1].end >= _PARAGRAPH_PAUSE:
            groups.append([sentence])
        else:
            last.append(sentence)
    paragraphs = [
        {
            "sentences": [{"text": each.text, "start": each.start, "end": each.end} for each in group],
            "num_words": sum(len(each.words) for each in group), "start": group[0].start, "end": group[-1].end,
        }
        for group in groups
    ]  # fmt: skip
    text = "\n\n".join(" ".join(each.text for each in group) for group in groups)
    return {"transcript": text, "paragraphs": paragraphs}


def _hits(query: str, words: Sequence[Word]) -> Iterator[dict[str, object]]:
    """Yield where the words of a query follow one another, in any case and punctuation."""
    wanted = [bare(word) for word in query.split()]
    spoken = [bare(word.text) for word in words]
    for start in range(len(spoken) - len(wanted) + 1 if wanted else 0):
        if spoken[start : start + len(wanted)] == wanted:
            found = words[start : start + len(wanted)]
            yield {
                "confidence": _confidence(found), "start": found[0].start, "end": found[-1].end,
                "snippet": " ".join(word.text for word in found),
            }  # fmt: skip


def _confidence(words: Iterable[Word]) -> float:
    return min((word.confidence for word in words), default=0.0)
