"""Which markers a test gets, and which tests are skipped where an extra or a dependency group is not installed."""

from collections.abc import Collection, Iterator

import pytest

#: Markers by the beginning of a test file's path below `tests/`.
FOLDERS = {
    "bench/": ("slow",),
    "cli/batch": ("slow",),
    "cli/test_batch": ("slow",),
    "cli/test_calibrate": ("slow",),
    "cli/test_cli": ("slow",),
    "cli/test_destination": ("slow",),
    "cli/test_listen": ("slow",),
    "cli/test_output": ("slow",),
    "cli/test_outside": ("slow",),
    "cli/test_partial": ("slow",),
    "cli/test_visible": ("slow",),
    "contrib/": ("slow", "ray"),
    "convert/litert": ("slow",),
    "convert/graph/test_drop_in": ("slow",),
    "convert/quantize": ("slow",),
    "deploy/": ("slow", "server"),
    "docs/": ("slow",),
    "examples/": ("slow",),
    "lab/": ("slow",),
    "model/test_embedded": ("slow",),
    "model/test_hub": ("slow",),
    "model/test_odd_bundles": ("slow",),
    "serve/": ("slow", "server"),
    "serve/test_page": ("browser",),
    "serve/web": ("browser",),
    "training/": ("slow",),
}
#: Markers by the beginning of a test's name.
NAMES = {
    "test_a_stream_forgets_its_segments": ("slow",),
    "test_the_bundle_names_its_recipe": ("slow",),
    "test_the_command_accepts_former_names": ("slow",),
    "test_command_line": ("slow",),
    "test_memory_does_not_grow": ("slow",),
    "test_stream_file_and_engine_agree_however": ("slow",),
}
#: Markers by the fixture that a test uses.
FIXTURES = {"server": ("slow", "server"), "browser": ("browser",)}
#: Where a package that not everybody has is from.
EXTRAS = {
    "litert": ("ai_edge_litert", "flatbuffers"),
    "convert": ("onnx", "onnx_ir", "safetensors", "sentencepiece", "yaml", "ml_dtypes"),
    "serve": ("fastapi", "starlette", "uvicorn", "websockets", "prometheus_client", "wyoming", "multipart"),
    "ray": ("ray",),
    "mic": ("sounddevice",),
    "vad": ("silero_vad",),
    "evaluate": ("rapidfuzz", "whisper_normalizer", "datasets", "pyarrow", "jinja2", "matplotlib"),
}
GROUPS = {
    "fast": ("jiwer", "srt", "webvtt"),
    "test": ("httpx", "openai", "deepgram", "schemathesis", "playwright", "axe_playwright_python"),
}
_ORIGIN = {
    package: f"{kind} '{name}'"
    for kind, table in (("extra", EXTRAS), ("dependency group", GROUPS))
    for name, packages in table.items()
    for package in packages
}


class OptionalModule(pytest.Module):
    """A test file, skipped where it imports a package of an extra or group that is not installed."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        """Import the file and return its tests."""
        try:
            return list(super().collect())
        except self.CollectError as error:
            cause = error.__cause__
            package = (cause.name or "").partition(".")[0] if isinstance(cause, ModuleNotFoundError) else ""
            if package not in _ORIGIN:
                raise
            pytest.skip(f"{package} is missing: install the {_ORIGIN[package]}", allow_module_level=True)


def marks_of(path: str, name: str, fixtures: Collection[str]) -> Iterator[str]:
    """Yield the markers of a test.

    Args:
        path: of its file, relative to `tests/`, with `/`.
        name: of its function.
        fixtures: the names of its fixtures.
    """
    for table, text in ((FOLDERS, path), (NAMES, name)):
        for beginning, marks in table.items():
            if text.startswith(beginning):
                yield from marks
    for fixture, marks in FIXTURES.items():
        if fixture in fixtures:
            yield from marks
