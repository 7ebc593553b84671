"""The model card of a bundle: its README.md, with the metadata that model hubs read.

The card is no part of the model. Nothing checks it, so its owner may edit it.
"""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from legato.chunks import FRAME_MS
from legato.errors import BundleError, EvaluationError
from legato.files import sha256_of, write_text_atomically
from legato.model.bundle import open_bundle
from legato.model.bundle_files import read_json_of
from legato.model.fields import FieldError, printable, read_json
from legato.model.integrity import CARD, fingerprint
from legato.model.registry import embedded_path
from legato.version import __version__

_LAYOUTS = {
    "native": "native: chunks of 80 to 1120 ms and any batch size, for Legato",
    "published": "published: windows of 320 ms, batch 1, for ONNX Runtime",
    "litert": "litert: windows of 320 ms, batch 1, for LiteRT",
}
_LANGUAGE = re.compile(r"[a-z]{2,3}(-|$)")
_EXAMPLE = "run_published.py"
_MOST_BYTES = 64 << 20
_REPORT_TITLE = "# Evaluation"


def write_card(folder: Path, evaluation: str | None = None) -> None:
    """Write the card of a bundle that Legato wrote; an existing card is replaced.

    Args:
        evaluation: what `read_evaluation` returned.

    Raises:
        BundleError: the bundle was not written by Legato, or is the one in the package.
    """
    if (package := embedded_path()) is not None and package.resolve() == folder.resolve():
        raise BundleError(f"{folder}: is part of the package, which stays as it is. Give a copy of the folder.")
    try:
        config, languages = (read_json_of(folder, name) for name in ("config.json", "languages.json"))
        parts = _parts(folder, config, languages)
    except FieldError as error:
        raise BundleError(str(error)) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{folder}: Legato writes cards only for bundles that 'legato convert' wrote, and this one does not state "
            f"what a card says ({error})."
        ) from None
    parts += [] if evaluation is None else [evaluation]
    write_text_atomically(folder / CARD, "\n\n".join(parts) + "\n")


def _parts(folder: Path, config: Any, languages: Any) -> list[str]:
    ours, names = config["legato"], sorted(languages["promptDictionary"])
    source = ours.get("source", {})
    return [
        _metadata(source, names, ours["layout"]),
        f"# {config['model']}",
        _about(source, ours["layout"]),
        _facts(config, names),
        "## License",
        _license(source),
        "## Run it",
        *_run(ours["layout"]),
        "## Files",
        _files(folder, ours["files"]),
    ]


def read_evaluation(report: Path, folder: Path | None = None) -> str:
    """Return the part of a report of `legato evaluate` that belongs into a card.

    Args:
        report: the folder of the report, or its `report.md`.
        folder: the bundle, if it is there already: the report must be about it.

    Raises:
        EvaluationError: there is no such report, or it is about other models.
        BundleError: the bundle cannot be opened.
    """
    file = report / "report.md" if report.is_dir() else report
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"{file}: cannot be read ({error}). Give the folder of 'legato evaluate --output'."
        ) from None
    if not text.startswith(_REPORT_TITLE):
        raise EvaluationError(f"{file}: not a report of 'legato evaluate'. Give the folder of its --output.")
    if folder is not None:
        _check_model(file.with_name("report.json"), folder)
    return re.sub("^#", "##", text.partition("\n## All conditions")[0].strip(), flags=re.MULTILINE)


def _check_model(file: Path, folder: Path) -> None:
    """Check that a bundle is one of the models of a report."""
    try:
        models = read_json(file, _MOST_BYTES)["models"]
        known = {str(model["sha256"]): str(model["label"]) for model in models}
    except (FieldError, OSError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"{file}: cannot be read ({error}). Give the folder of 'legato evaluate --output'."
        ) from None
    if fingerprint(folder, open_bundle(folder).hashes) not in known:
        raise EvaluationError(
            f"{file}: is about other models than {folder}: {printable(', '.join(known.values()))}. Run 'legato "
            f"evaluate' with this model, and give the folder of its --output."
        )


def _metadata(source: dict[str, Any], names: list[str], layout: str) -> str:
    languages = sorted({name.split("-")[0] for name in names if _LANGUAGE.match(name)})
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in _license_fields(source).items()]
    library, runtime = ("tflite", "litert") if layout == "litert" else ("onnx", "onnxruntime")
    lines += ["pipeline_tag: automatic-speech-recognition", f"library_name: {library}"]
    lines += [f"language: {json.dumps(languages)}"] if languages else []
    return "\n".join(["---", *lines, f"tags: [{library}, {runtime}, streaming, fastconformer, rnn-t]", "---"])


def _license_fields(source: dict[str, Any]) -> dict[str, str]:
    """Return the fields of the license; a hub asks for `other` where its short name is not known."""
    fields = {str(key): str(value) for key, value in (source.get("license") or {}).items()}
    return {"license": "other", **fields}


def _license(source: dict[str, Any]) -> str:
    fields = _license_fields(source)
    name = fields.get("license_name") or fields["license"]
    if "license" not in (source.get("license") or {}):
        return (
            "The license of the weights is that of the checkpoint, which did not state it in a form that the converter "
            "reads. State it here, and in the field `license` at the top, before you publish this folder."
        )
    link = f" ({fields['license_link']})" if "license_link" in fields else ""
    return f"The license of the weights is that of the checkpoint: {name}{link}."


def _about(source: dict[str, Any], layout: str) -> str:
    size = f" with {source['parameters'] / 1e6:.1f} million parameters" if "parameters" in source else ""
    return (
        f"Streaming speech recognition in {'LiteRT' if layout == 'litert' else 'ONNX'}: a cache-aware FastConformer "
        f"RNN-T with a language prompt{size}, converted from `{source.get('file', 'a checkpoint')}` by Legato "
        f"{__version__}."
    )


def _facts(config: dict[str, Any], names: list[str]) -> str:
    ours = config["legato"]
    recipe = f", recipe `{ours['recipe']}`" if ours.get("recipe") else ""
    chunks = ", ".join(str((right + 1) * FRAME_MS) for right in sorted(ours["rightContexts"]))
    rows = [
        ("Precision", f"{ours['precision'].upper()}{recipe}"),
        ("Layout", _LAYOUTS.get(ours["layout"], ours["layout"])),
        ("Trained chunk sizes", f"{chunks} ms"),
        ("Audio", f"{config['sampleRate']} Hz, mono"),
        ("Tokens", f"{config['vocabSize']} SentencePiece pieces and blank"),
        ("Language prompts", f"{len(names)} names, in `languages.json`"),
    ]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def _run(layout: str) -> list[str]:
    legato = "With Legato:\n\n```bash\nlegato transcribe talk.wav --model FOLDER\n```"
    if layout != "published":
        return [legato]
    example = resources.files("legato").joinpath("assets", "card", _EXAMPLE).read_text("utf-8")
    return [legato, f"With ONNX Runtime alone:\n\n```python\n{example}```"]


def _files(folder: Path, recorded: dict[str, Any]) -> str:
    files = {name: (entry["size"], entry["sha256"]) for name, entry in recorded.items()}
    config = folder / "config.json"
    files[config.name] = (config.stat().st_size, sha256_of(config))
    rows = [f"| {name} | {size:,} | `{sha256}` |" for name, (size, sha256) in sorted(files.items())]
    return "\n".join(["| File | Bytes | SHA-256 |", "| --- | ---: | --- |", *rows])
