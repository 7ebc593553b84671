"""The language that a client asks for, which means the same in every protocol."""

from collections.abc import Sequence

from legato.model.languages import AUTO

#: Names with which clients ask for detection.
_DETECTION = frozenset({AUTO, "multi", "detect", "und"})


def requested_language(language: str | None, languages: Sequence[str] = (), *, detect: bool = False) -> str | None:
    """Return the language that a client asks for, or `auto`; None leaves it to the server.

    Args:
        language: the language; None or empty for none, and `auto` or `multi` for detection.
        languages: possible languages, for clients that send a list; several mean `auto`, as any can be detected.
        detect: whether the client asks for detection in another field.
    """
    named = [each.strip() for each in (language, *languages) if each and each.strip()]
    if detect or any(each.lower() in _DETECTION for each in named):
        return AUTO
    if language and language.strip():
        return language.strip()
    return None if not named else named[0] if len(named) == 1 else AUTO
