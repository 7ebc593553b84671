"""Commands that need more packages than transcription does."""

from importlib.util import find_spec

from legato.errors import LegatoError
from legato.installation import install_command

_PACKAGES = {
    "convert": ("onnx", "onnx_ir", "safetensors", "sentencepiece", "yaml", "ml_dtypes", "gguf"),
    "litert": ("ai_edge_litert", "flatbuffers"),
    "evaluate": ("rapidfuzz", "whisper_normalizer", "datasets", "jinja2", "matplotlib"),
    "mcp": ("mcp",),
    "ray": ("ray",),
    "serve": ("fastapi", "uvicorn", "websockets", "prometheus_client", "python_multipart", "wyoming"),
}


def require(what: str, *extras: str) -> None:
    """Check that the packages of some extras are installed, without importing them.

    Args:
        what: what needs them, as the start of a sentence.
        extras: names of extras.

    Raises:
        LegatoError: names the missing packages and the command that installs them.
    """
    missing = [package for extra in extras for package in _PACKAGES[extra] if find_spec(package) is None]
    if missing:
        raise LegatoError(
            f"{what} needs packages that are not installed ({', '.join(missing)}). "
            f"Install them with: {install_command(*extras)}"
        )
