"""Files are replaced as a whole or not at all."""

import hashlib
import os
from pathlib import Path

import pytest

from legato.audio.manifest import read_manifest
from legato.errors import LegatoError
from legato.files import (
    IrregularFileError,
    open_regular,
    read_regular,
    sha256_of,
    write_atomically,
    write_text_atomically,
)
from legato.lab.evaluate.baseline import read_baseline


def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with write_atomically(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_an_error_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), write_atomically(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    with pytest.raises(OSError, match="nowhere"), write_atomically(tmp_path / "nowhere" / "file"):
        pass


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / "ours", "grüß\r\n")
    (tmp_path / "other").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert (tmp_path / "ours").read_bytes() == "grüß\r\n".encode()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a part of POSIX")
def test_links_are_replaced_and_what_is_no_file_is_refused(tmp_path: Path) -> None:
    victim, link, pipe = (tmp_path / name for name in ("victim", "link", "pipe"))
    victim.write_text("untouched")
    link.symlink_to(victim)
    write_text_atomically(link, "new")
    assert (victim.read_text(), link.read_text(), link.is_symlink()) == ("untouched", "new", False)
    os.mkfifo(pipe)
    (tmp_path / "device").symlink_to("/dev/null")
    for path in (pipe, tmp_path / "device"):
        with pytest.raises(IrregularFileError, match="not a regular file"):
            write_text_atomically(path, "new")
    assert pipe.is_fifo()
    assert (tmp_path / "device").is_symlink()


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc" * 1_000_000)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a part of POSIX")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    own = tmp_path / "own"
    with open_regular(own, "ab") as file:
        file.write(b"one")
    with open_regular(own, "rb") as file:
        assert file.read() == b"one"
    (tmp_path / "link").symlink_to(own)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "dangling", "pipe", "."):
        for mode in ("rb", "ab"):
            with pytest.raises(OSError, match=r"it is|Is a directory"):
                open_regular(tmp_path / name, mode)
    assert own.read_bytes() == b"one"
    assert not (tmp_path / "nothing").exists()


def test_reading_follows_links_and_keeps_to_a_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="more than"):
        read_regular(tmp_path / "file", 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a part of POSIX")
def test_a_pipe_in_place_of_an_input_does_not_hang(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for read in (read_manifest, read_baseline):
        for path in (pipe, Path("/dev/zero")):
            with pytest.raises(LegatoError, match="not a regular file"):
                read(path)
