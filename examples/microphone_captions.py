"""Caption a microphone in the terminal, one line per segment.

python examples/microphone_captions.py                 needs the extra `mic`
python examples/microphone_captions.py talk.wav        a file, as if it were spoken now
"""

import sys

import legato
from legato.audio.live import LiveSource, PlayedSource
from legato.audio.microphone import Microphone


def main() -> None:
    """Print every segment when it is complete."""
    recognizer = legato.load()
    source: LiveSource = PlayedSource(sys.argv[1]) if len(sys.argv) > 1 else Microphone()
    with recognizer.stream(endpoint=legato.Endpointing(after_speech=0.8)) as stream:
        try:
            for samples in source:
                show(stream.accept(samples))
        except KeyboardInterrupt:
            pass
        show(stream.finish())


def show(events: list[legato.Event]) -> None:
    """Print the segments among the events of a stream."""
    for event in events:
        if isinstance(event, legato.Segment) and event.text:
            print(f"{event.start:6.1f} s  {event.text}", flush=True)


if __name__ == "__main__":
    main()
