"""`legato serve`: recognition for other programs, over HTTP and WebSockets."""

from pathlib import Path
from typing import Annotated

import typer

from legato.cli.errors import guarded
from legato.cli.extras import require
from legato.cli.options import DEFAULTS, ChunkOption, ConfidenceOption, ModelOption, ThreadsOption, confidence_scale


@guarded
def serve(
    *,
    model: ModelOption = None,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Address to listen on; 0.0.0.0 for all addresses of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="Port; 0 takes a free one.")] = 8000,
    wyoming_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Also serve Wyoming (Home Assistant) on this port."),
    ] = None,
    wyoming_host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Address for Wyoming, which has no API keys: other machines may use it only with --allow-anonymous.",
        ),
    ] = "127.0.0.1",
    on_ray: Annotated[
        bool, typer.Option("--ray", help="Serve on the Ray cluster at RAY_ADDRESS, or with Ray on this machine.")
    ] = False,
    threads: ThreadsOption = None,
    workers: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Processes that share the port; auto: as many as have cores for their threads.",
        ),
    ] = "1",
    language: Annotated[
        str,
        typer.Option("--language", "-l", metavar="LANG", help="Language for clients that name none; auto detects it."),
    ] = DEFAULTS.language,
    chunk_ms: ChunkOption = DEFAULTS.chunk_ms,
    confidence: ConfidenceOption = DEFAULTS.confidence,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="API keys, one per line, in addition to those in LEGATO_API_KEYS (commas)."),
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Allow other machines to connect without an API key.")
    ] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Web site whose pages may use the server, or * for all; may be repeated."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Public name under which a server without keys may be asked; may be repeated."
        ),
    ] = None,
    ssl_certfile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate chain (PEM): serve HTTPS and secure WebSockets.")
    ] = None,
    ssl_keyfile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Private key (PEM), unless the certificate's file has it.")
    ] = None,
    max_streams: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Live streams at once. Default: as many as it holds, measured at the start."
        ),
    ] = None,
    max_lag_seconds: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="SECONDS", help="Refuse new live streams while one is later than this; inf never does."
        ),
    ] = 3,
    max_files: Annotated[int, typer.Option(min=1, metavar="N", help="Files transcribed at once.")] = 4,
    max_waiting: Annotated[int, typer.Option(min=0, metavar="N", help="Files that may wait for their turn.")] = 16,
    max_upload_mb: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Size of a file.")] = 200,
    max_audio_minutes: Annotated[
        float, typer.Option(min=0.01, metavar="MINUTES", help="Duration of a file's audio.")
    ] = 240,
    max_stream_minutes: Annotated[
        float, typer.Option(min=0.01, metavar="MINUTES", help="Duration of a live stream.")
    ] = 480,
    max_message_kb: Annotated[float, typer.Option(min=1, metavar="KB", help="Size of a WebSocket message.")] = 24_000,
    keep_alive_seconds: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Close an HTTP connection without requests after this.")
    ] = 5,
    idle_seconds: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Disconnect a client that sends and reads nothing.")
    ] = 60,
    grace_seconds: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="After SIGTERM: time to finish running work.")
    ] = 20,
    log_transcripts: Annotated[
        bool, typer.Option("--log-transcripts", help="Write recognized text into the log.")
    ] = False,
) -> None:
    """Serve OpenAI's transcription API and others.

    SIGTERM finishes the running work, then ends the server.
    """
    require("legato serve --ray", "serve", "ray") if on_ray else require("legato serve", "serve")
    if on_ray and wyoming_port is not None:
        raise typer.BadParameter("Ray carries HTTP and WebSockets only.", param_hint="--wyoming-port")
    if on_ray and ssl_certfile is not None:
        raise typer.BadParameter("Ray serves no HTTPS: use a reverse proxy.", param_hint="--ssl-certfile")
    if on_ray and workers != "1":
        raise typer.BadParameter("Ray runs one replica per machine.", param_hint="--workers")
    from legato.cli.serving import read_keys, serve_here, serve_on_ray, shares
    from legato.model.registry import resolve
    from legato.serve.settings import Settings

    resolved = resolve(model)
    settings = Settings(
        host=host, port=port, wyoming_host=wyoming_host, wyoming_port=wyoming_port,
        api_keys=read_keys(api_key_file), allow_anonymous=allow_anonymous,
        allow_origins=tuple(origin.rstrip("/") for origin in allow_origin or ()),
        allow_hosts=tuple(name.lower() for name in allow_host or ()),
        model=resolved.path.name if resolved.source == "path" else resolved.name,
        language=language, chunk_ms=chunk_ms, confidence=confidence_scale(confidence),
        max_streams=max_streams or 0, max_lag_seconds=max_lag_seconds,
        max_files=max_files, max_waiting=max_waiting,
        max_upload_bytes=round(max_upload_mb * 1e6), max_audio_seconds=max_audio_minutes * 60,
        max_stream_seconds=max_stream_minutes * 60, max_message_bytes=round(max_message_kb * 1e3),
        ssl_certfile=ssl_certfile, ssl_keyfile=ssl_keyfile, keep_alive_seconds=keep_alive_seconds,
        idle_seconds=idle_seconds, grace_seconds=grace_seconds, log_transcripts=log_transcripts,
    )  # fmt: skip
    if on_ray:
        serve_on_ray(resolved, settings, threads, named=model is not None)
    else:
        processes, threads = shares(workers, threads, resolved.path)
        serve_here(resolved, settings, threads, processes, named=model is not None)
