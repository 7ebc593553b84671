"""Run a NeMo exporter that downloads its model by name, with a local archive in place of the download.

    python run_exporter.py MODEL.nemo SCRIPT [ARGUMENT...]

sherpa-onnx's exporter loads the published model by name. This loads the given archive instead and changes nothing else.
"""

import runpy
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Run from the command line."""
    archive, script = (str(Path(part).absolute()) for part in sys.argv[1:3])
    from nemo.collections.asr.models import ASRModel

    def from_archive(*_: Any, **__: Any) -> Any:
        return ASRModel.restore_from(archive, map_location="cpu")

    ASRModel.from_pretrained = from_archive
    sys.argv = [script, *sys.argv[3:]]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
