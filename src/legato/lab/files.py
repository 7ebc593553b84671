"""Files that appear complete or not at all."""

import os
from pathlib import Path


def write_whole(file: Path, content: str | bytes) -> None:
    """Write a file through a temporary one beside it; text as UTF-8.

    Raises:
        OSError: the file cannot be written; an earlier one of this name is unchanged.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
