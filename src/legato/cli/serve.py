"""`legato serve`: recognition for other programs, over HTTP and WebSockets."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from legato.cli.errors import guarded, say
from legato.cli.extras import require
from legato.cli.options import ChunkOption, ModelOption, ThreadsOption
from legato.errors import LegatoError


@guarded
def serve(
    *,
    model: ModelOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    wyoming_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve Wyoming (Home Assistant) too, on this port.")
    ] = None,
    wyoming_host: Annotated[
        str, typer.Option(help="Address for Wyoming, which knows no API keys; others need --allow-anonymous.")
    ] = "127.0.0.1",
    on_ray: Annotated[
        bool, typer.Option("--ray", help="Serve on the machines of the Ray cluster at RAY_ADDRESS, or with Ray here.")
    ] = False,
    threads: ThreadsOption = None,
    language: Annotated[str, typer.Option(help="For clients that name none; auto detects it.")] = "auto",
    chunk_ms: ChunkOption = 320,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="API keys, one a line; those in LEGATO_API_KEYS (commas) count too."),
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Listen elsewhere than on loopback without API keys.")
    ] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Web site whose pages may use the server; may be given again."),
    ] = None,
    max_streams: Annotated[int, typer.Option(min=1, help="Live streams at a time.")] = 32,
    max_lag_seconds: Annotated[
        float, typer.Option(min=0.1, help="Admit no more live streams while one is so far behind.")
    ] = 3,
    max_files: Annotated[int, typer.Option(min=1, help="Files recognised at a time.")] = 4,
    max_waiting: Annotated[int, typer.Option(min=0, help="Files that may wait for their turn.")] = 16,
    max_upload_mb: Annotated[float, typer.Option(min=0.001, help="Size of a file, in MB.")] = 200,
    max_audio_minutes: Annotated[float, typer.Option(min=0.01, help="Length of a file's audio.")] = 240,
    max_stream_minutes: Annotated[float, typer.Option(min=0.01, help="Length of a live stream.")] = 480,
    max_message_kb: Annotated[float, typer.Option(min=1, help="Size of a message on a socket, in kB.")] = 1000,
    idle_seconds: Annotated[
        float, typer.Option(min=0.1, help="Give up a client that sends or reads nothing for so long.")
    ] = 60,
    grace_seconds: Annotated[float, typer.Option(min=0, help="On SIGTERM: time to finish what runs.")] = 20,
    log_transcripts: Annotated[
        bool, typer.Option("--log-transcripts", help="Write what was recognised into the log.")
    ] = False,
) -> None:
    """Serve OpenAI's transcription API and others. SIGTERM finishes what runs, then ends."""
    require("legato serve --ray", "serve", "ray") if on_ray else require("legato serve", "serve")
    if on_ray and wyoming_port is not None:
        raise typer.BadParameter("Ray carries HTTP and WebSockets only.", param_hint="--wyoming-port")

    from legato.model.registry import resolve
    from legato.recognizer import load
    from legato.serve.app import create_app
    from legato.serve.logs import configure_logs
    from legato.serve.server import address_of, listen, listen_wyoming, run
    from legato.serve.settings import Settings

    resolved = resolve(model)
    settings = Settings(
        host=host, port=port, wyoming_host=wyoming_host, wyoming_port=wyoming_port,
        api_keys=_read_keys(api_key_file), allow_anonymous=allow_anonymous,
        allow_origins=tuple(origin.rstrip("/") for origin in allow_origin or ()),
        model=resolved.path.name if resolved.source == "path" else resolved.name,
        language=language, chunk_ms=chunk_ms, max_streams=max_streams, max_lag_seconds=max_lag_seconds,
        max_files=max_files, max_waiting=max_waiting,
        max_upload_bytes=round(max_upload_mb * 1e6), max_audio_seconds=max_audio_minutes * 60,
        max_stream_seconds=max_stream_minutes * 60, max_message_bytes=round(max_message_kb * 1e3),
        idle_seconds=idle_seconds, grace_seconds=grace_seconds, log_transcripts=log_transcripts,
    )  # fmt: skip
    listener, wyoming = listen(settings), listen_wyoming(settings)
    recognizer = load(resolved.path, threads=threads)
    recognizer.start(language=language, chunk_ms=chunk_ms)  # tells here what the model cannot do
    if model is None:
        say(f"Model: {resolved.name}; others: --model NAME, see 'legato models'")
    if on_ray:
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # read on import: lines of JSON are not to be summed up
        from legato.contrib.ray.serve import serve_on_ray

        del recognizer  # each replica has its own
        address = address_of(listener)
        settings = replace(settings, port=listener.getsockname()[1])
        listener.close()  # the proxies of Ray listen themselves
        serve_on_ray(resolved.path, settings, threads, lambda: print(f"Legato serves {address}", flush=True))
        return
    configure_logs()
    addresses = [address_of(listener)] + ([address_of(wyoming, "tcp")] if wyoming else [])
    run(
        create_app(recognizer, settings, wyoming), listener, settings,
        lambda: print(f"Legato serves {' and '.join(addresses)}", flush=True),
    )  # fmt: skip


def _read_keys(file: Path | None) -> tuple[str, ...]:
    """Give the API keys of the file and the environment.

    Raises:
        LegatoError: the file cannot be read, or holds none.
    """
    keys = [key.strip() for key in os.environ.get("LEGATO_API_KEYS", "").split(",")]
    if file is not None:
        try:
            lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise LegatoError(f"{file}: the API keys cannot be read: {error}.") from None
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise LegatoError(f"{file}: no API key in it. Write one a line.")
        keys += found
    return tuple(dict.fromkeys(key for key in keys if key))
