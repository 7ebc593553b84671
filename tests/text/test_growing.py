"""What is new of a text that grows."""

from legato.text.growing import GrowingLines, GrowingText
from legato.types import Event, Final, Partial, Segment, Transcript


def partial(text: str) -> Partial:
    return Partial(text, (), 0.0)


def segment(text: str) -> Segment:
    return Segment(text, 0.0, 0.0, None, (), ())


def final(text: str) -> Final:
    return Final(Transcript(text, None, (), (), 0.0))


def lines_of(*events: Event) -> str:
    lines = GrowingLines()
    return "".join(lines.add([event]) for event in events) + lines.end()


def test_a_text_is_given_out_once() -> None:
    text = GrowingText()
    assert [text.grow(part) for part in ("", "one", "one", "one two")] == ["", "one", "", " two"]
    assert text.grow("other") == ""
    assert text.text == "one two"


def test_events_become_lines() -> None:
    assert lines_of(partial("one"), partial("one two"), final("one two.")) == "one two.\n"
    assert lines_of(partial("one"), segment("one."), partial("two"), segment("two."), final("")) == "one.\ntwo.\n"
    assert lines_of(segment("one."), segment(""), partial("two"), final("two")) == "one.\ntwo\n"
    assert lines_of(final("")) == "\n"
    assert lines_of(partial("one"), partial("other"), final("other")) == "one\nother\n"
