"""Everything that a stream remembers: audio, decoding, the open segment, and the settings in effect."""

from dataclasses import dataclass, field

from legato.decode.dispatch import DecoderState
from legato.options import Endpointing, StreamOptions
from legato.runtime.encoder import EncoderState
from legato.runtime.features import MelState
from legato.runtime.vad import VadState
from legato.streaming.endpointing import EndpointState
from legato.streaming.frame_buffer import FrameBuffer
from legato.streaming.monitor import BlankMonitor
from legato.text.pieces import TextBuilder
from legato.types import Token


@dataclass(frozen=True)
class AudioState:
    """From samples to encoder frames.

    Attributes:
        encoder: state of the encoder, with the mel frames that wait for it.
        mel: state of the front end.
        samples: samples accepted so far, without padding.
        levels: loudness per mel frame, for the blank monitor.
        vad: state of the voice activity detector, if the stream has one.
        speech: what the detector found: 1 for speech, per window.
    """

    encoder: EncoderState
    mel: MelState = field(default_factory=MelState)
    samples: int = 0
    levels: FrameBuffer = field(default_factory=FrameBuffer)
    vad: VadState | None = None
    speech: FrameBuffer = field(default_factory=FrameBuffer)


@dataclass(frozen=True)
class DecodingState:
    """From encoder frames to tokens.

    Attributes:
        decoder: state of the search.
        fresh: state with which the search restarts after a segment.
        rules: state of the endpoint rules.
        done: encoder frames that are decoded; a commit decodes frames ahead of the encoder.
    """

    decoder: DecoderState
    fresh: DecoderState
    rules: EndpointState = field(default_factory=EndpointState)
    done: int = 0


@dataclass
class SegmentState:
    """The open segment; without endpoints, the whole stream.

    Attributes:
        start: where it began, in seconds.
        tokens: its tokens.
        text: its text.
        language: the last language tag that was emitted in it.
    """

    start: float = 0.0
    tokens: list[Token] = field(default_factory=list)
    text: TextBuilder = field(default_factory=TextBuilder)
    language: str | None = None


@dataclass
class StreamState:
    """The whole state of a stream; a deep copy of it can continue elsewhere with identical results.

    Attributes:
        options: the options that the stream was opened with, phrases and n-gram compiled.
        language: the language that is requested now, `auto` included.
        endpoint: the endpoint rules now; None when only a commit ends a segment.
        audio, decoding, segment: the three parts.
        closed: number of segments that were closed.
        closed_language: language of the last of them.
        commits: frames at which callers asked to close the segment after the word being spoken, the oldest first.
        monitor: detects speech that gives no text.
        finished: the stream has ended and accepts nothing more.
    """

    options: StreamOptions
    language: str
    endpoint: Endpointing | None
    audio: AudioState
    decoding: DecodingState
    segment: SegmentState = field(default_factory=SegmentState)
    closed: int = 0
    closed_language: str | None = None
    commits: tuple[int, ...] = ()
    monitor: BlankMonitor = field(default_factory=BlankMonitor)
    finished: bool = False
