"""The settings of a server."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from legato.chunks import DEFAULT_CHUNK_MS
from legato.model.languages import AUTO
from legato.options import ConfidenceScale, StreamOptions

#: The entry of `Settings.allow_origins` that allows all.
ANY_ORIGIN = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a server. Sizes are in bytes, times in seconds, and limits are inclusive.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        wyoming_host: address to listen on for Wyoming, a protocol without keys.
        wyoming_port: port for Wyoming; None does not serve it.
        api_keys: keys that clients may use; with none, no key is required.
        allow_anonymous: allows listening on other addresses than loopback without keys.
        allow_origins: web sites whose pages may use the server besides its own page, such as `https://example.org`;
            `*` allows all, under any host name.
        allow_hosts: names, in lower case, under which a server without keys answers besides its addresses, localhost
            and names that only a local network knows.
        ssl_certfile: certificate chain (PEM) for HTTPS; None serves HTTP.
        ssl_keyfile: private key of the certificate (PEM); None if the certificate file contains it.
        model: name under which clients see the model.
        language: language for clients that give none, or `auto`.
        chunk_ms: chunk size for clients that give none, in milliseconds.
        confidence: scale of the confidences, `raw` or `calibrated`; see `legato.StreamOptions`.
        max_streams: live streams at a time; 0 for as many as a measurement at the start finds that the machine holds.
        max_lag_seconds: no further live streams are admitted while one that is sent in real time lags by more. They
            are refused before, when the measured lateness of all streams approaches the duration of a chunk. Infinity
            admits them however late the streams are.
        max_files: files that are recognized at a time.
        max_waiting: files that may arrive or wait besides those.
        max_upload_bytes: size of a request with a file.
        max_upload_seconds: time that such a request may take to arrive.
        max_audio_seconds: audio of a file.
        max_stream_seconds: audio of a live stream.
        max_message_bytes: size of a message on a socket. OpenAI allows 15 MiB of audio per message, in base64.
        max_phrases: phrases per stream or file.
        keep_alive_seconds: an HTTP connection without requests is closed after this time.
        idle_seconds: a client that sends or reads nothing for this long is disconnected.
        grace_seconds: time to finish running work after SIGTERM.
        log_transcripts: whether to write transcripts into the log.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    wyoming_host: str = "127.0.0.1"
    wyoming_port: int | None = None
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    allow_anonymous: bool = False
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    model: str = "legato"
    language: str = AUTO
    chunk_ms: int = DEFAULT_CHUNK_MS
    confidence: ConfidenceScale = "raw"
    max_streams: int = 32
    max_lag_seconds: float = 3.0
    max_files: int = 4
    max_waiting: int = 16
    max_upload_bytes: int = 200_000_000
    max_upload_seconds: float = 900.0
    max_audio_seconds: float = 4 * 3600.0
    max_stream_seconds: float = 8 * 3600.0
    max_message_bytes: int = 24_000_000
    max_phrases: int = 1000
    keep_alive_seconds: float = 5.0
    idle_seconds: float = 60.0
    grace_seconds: float = 20.0
    log_transcripts: bool = False

    @property
    def defaults(self) -> StreamOptions:
        """The options of a stream for which a client asks nothing else."""
        return StreamOptions(language=self.language, chunk_ms=self.chunk_ms, confidence=self.confidence)

    @property
    def scheme(self) -> str:
        """The scheme of the server's address: `http` or `https`."""
        return "https" if self.ssl_certfile else "http"

    @property
    def is_local(self) -> bool:
        """Whether the server can be reached from this machine only."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether the name or address of a host means this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
