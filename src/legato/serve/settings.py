"""What the server may be told when it starts."""

import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a server; sizes in bytes, times in seconds.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        wyoming_host, wyoming_port: the same for Wyoming, which knows no keys; without a port it is not served.
        api_keys: who has one of them may use it; with none, everybody may.
        allow_anonymous: it may listen elsewhere than on loopback without keys.
        allow_origins: web sites whose pages may use it, such as `https://example.org`, beside its own page.
        model: the name under which clients see the model.
        language: for clients that name none.
        chunk_ms: for clients that name none: how far ahead the model may look.
        max_streams: live streams at a time.
        max_lag_seconds: while a live stream that is sent in real time lags behind by so much, no more are admitted.
        max_files: files that are recognised at a time.
        max_waiting: files that may beside them be on their way, or wait for their turn.
        max_upload_bytes: of a request that brings a file, all in all.
        max_upload_seconds: that it may take to arrive.
        max_audio_seconds: of a file's audio.
        max_stream_seconds: of a live stream's audio.
        max_message_bytes: of a message on a socket.
        max_phrases: that a client may give.
        idle_seconds: a client that sends nothing, or does not read, for so long is given up.
        grace_seconds: on SIGTERM, the time that running work has to be finished.
        log_transcripts: write what was recognised into the log.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    wyoming_host: str = "127.0.0.1"
    wyoming_port: int | None = None
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    allow_anonymous: bool = False
    allow_origins: tuple[str, ...] = ()
    model: str = "legato"
    language: str = "auto"
    chunk_ms: int = 320
    max_streams: int = 32
    max_lag_seconds: float = 3.0
    max_files: int = 4
    max_waiting: int = 16
    max_upload_bytes: int = 200_000_000
    max_upload_seconds: float = 900.0
    max_audio_seconds: float = 4 * 3600.0
    max_stream_seconds: float = 8 * 3600.0
    max_message_bytes: int = 1_000_000
    max_phrases: int = 1000
    idle_seconds: float = 60.0
    grace_seconds: float = 20.0
    log_transcripts: bool = False

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a name or address of a host means this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
