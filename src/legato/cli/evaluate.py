"""`legato evaluate`: error rates, latency and memory of models on data with transcripts."""

from pathlib import Path
from typing import Annotated

import typer

from legato.chunks import listing
from legato.cli.errors import guarded
from legato.cli.extras import require
from legato.cli.options import DEFAULTS, AllThreadsOption, choice, chunk_sizes


@guarded
def evaluate(
    *,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MANIFEST...",
            help="NeMo manifests (JSON lines: audio_filepath, text, lang), or folders of audio with NAME.txt beside "
            "NAME.wav; a subfolder named de or de-DE sets the language.",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the reports; an interrupted evaluation continues there."
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", metavar="MODEL",
            help="Name or folder of a model; may be repeated. Default: the best one on this machine.",
        ),
    ] = None,
    chunk_ms: Annotated[
        str, typer.Option(metavar="MS,MS", help=f"Chunk sizes in milliseconds: {listing()}.")
    ] = str(DEFAULTS.chunk_ms),
    language: Annotated[
        str,
        typer.Option(
            "--language", "-l", metavar="MODE,MODE",
            help="manifest: the language of the data is given to the model; auto: the model detects it.",
        ),
    ] = "manifest",
    default_language: Annotated[
        str | None, typer.Option(metavar="LANG", help="Language of the utterances that state none.")
    ] = None,
    fleurs: Annotated[
        str | None, typer.Option(metavar="LANG,LANG", help="Languages of FLEURS, such as en_us,de_de.")
    ] = None,
    fleurs_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Local copy of FLEURS. Default: from the hub (HF_ENDPOINT).")
    ] = None,
    fleurs_split: Annotated[
        str, typer.Option(metavar="SPLIT", **choice("train", "dev", "test"), help="train, dev or test.")
    ] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Utterances per language. Default: all.")
    ] = None,
    split_by: Annotated[
        str | None, typer.Option(metavar="KEY", help="Key of the manifests whose values also get rates of their own.")
    ] = None,
    normalizer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            **choice("auto", "whisper", "none"),
            help="auto: Whisper's English and basic normalizers with vowel signs kept; whisper: exactly those; none.",
        ),
    ] = "auto",
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="REPORT", help="An earlier report.json: exit code 1 if a language became worse."),
    ] = None,
    threads: AllThreadsOption = None,
    restart: Annotated[bool, typer.Option("--restart", help="Discard the results of an earlier evaluation.")] = False,
) -> None:  # fmt: skip
    """Measure the accuracy, latency and memory of models.

    The data are recordings with transcripts. Writes report.json, report.md, report.html and utterances.jsonl. Exit
    codes: 0 done; 1 a language is significantly worse than in the baseline; 2 something was left out, or nothing could
    be done.
    """
    if not sources and not fleurs:
        raise typer.BadParameter("give a manifest, a folder, or --fleurs.", param_hint="MANIFEST...")
    chunks, modes = chunk_sizes(chunk_ms), _modes(language)
    require("Evaluating", "evaluate")
    from legato.cli.evaluation import Evaluation, Fleurs

    Evaluation(
        sources=tuple(sources or ()),
        fleurs=Fleurs(tuple(filter(None, map(str.strip, (fleurs or "").split(",")))), fleurs_dir, fleurs_split),
        output=output, models=tuple(model or (None,)), chunks=tuple(chunks), modes=tuple(modes),
        default_language=default_language, limit=limit, split_by=split_by, normalizer=normalizer,
        baseline=baseline, threads=threads, restart=restart,
    ).run()  # fmt: skip


def _modes(text: str) -> list[str]:
    modes = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(modes) <= {"manifest", "auto"}:
        raise typer.BadParameter(
            f"{text!r}: give manifest, auto, or manifest,auto. --default-language is the language of the data.",
            param_hint="--language",
        )
    return modes
