"""Choose one of the audio tracks of a container by its number or language."""

from collections.abc import Sequence
from dataclasses import dataclass

from legato.errors import AudioError

_THREE_LETTERS = {
    "ar": "ara", "bg": "bul", "ca": "cat", "cs": "cze ces", "da": "dan", "de": "ger deu", "el": "gre ell", "en": "eng",
    "es": "spa", "et": "est", "fa": "per fas", "fi": "fin", "fr": "fre fra", "he": "heb", "hi": "hin", "hr": "hrv",
    "hu": "hun", "id": "ind", "is": "ice isl", "it": "ita", "ja": "jpn", "ko": "kor", "lt": "lit", "lv": "lav",
    "mt": "mlt", "nb": "nob", "nl": "dut nld", "nn": "nno", "no": "nor", "pl": "pol", "pt": "por", "ro": "rum ron",
    "ru": "rus", "sk": "slo slk", "sl": "slv", "sv": "swe", "th": "tha", "tr": "tur", "uk": "ukr", "vi": "vie",
    "zh": "chi zho",
}  # fmt: skip
"""ISO 639-1 codes with their ISO 639-2 codes, which most containers use."""


@dataclass(frozen=True, slots=True)
class Track:
    """An audio track.

    Attributes:
        number: counted from 0, among the audio tracks.
        language: as the container states it, such as `eng`; None where it states none.
        title: as the container states it.
        default: whether the container marks it as its default.
    """

    number: int
    language: str | None
    title: str | None
    default: bool

    def __str__(self) -> str:
        details = ", ".join(filter(None, (self.language, self.title, "default" if self.default else None)))
        return f"{self.number} ({details})" if details else str(self.number)


def choose_track(tracks: Sequence[Track], wanted: int | str | None, usual: int, name: str) -> int:
    """Return the number of the track that is wanted.

    Args:
        tracks: all audio tracks.
        wanted: a number, a language such as `en`, `eng` or `en-US`, or None for the usual track.
        name: what messages call the file.

    Raises:
        AudioError: there is no such track.
    """
    if wanted is None:
        return usual
    listed = "; ".join(map(str, tracks))
    if isinstance(wanted, int) or wanted.isdecimal():
        if not 0 <= int(wanted) < len(tracks):
            raise AudioError(f"{name}: no audio track {wanted}. It has {len(tracks)}: {listed}.")
        return int(wanted)
    code = wanted.lower().replace("_", "-").partition("-")[0]
    groups = ({short, *long.split()} for short, long in _THREE_LETTERS.items())
    codes = next((group for group in groups if code in group), {code})
    fitting = [track for track in tracks if track.language and track.language.lower().partition("-")[0] in codes]
    if not fitting:
        raise AudioError(f"{name}: no audio track in the language {wanted!r}. It has {len(tracks)}: {listed}.")
    marked = [track for track in fitting if track.default]
    return (marked or fitting)[0].number


def track_notice(tracks: Sequence[Track], chosen: int) -> str | None:
    """Return which track of several is read; None where there is only one."""
    if len(tracks) < 2:
        return None
    others = "; ".join(str(track) for track in tracks if track.number != chosen)
    return f"audio track {tracks[chosen]} of {len(tracks)} is read; it also has {others}"
