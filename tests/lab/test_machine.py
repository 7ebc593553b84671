"""The machine: name of the processor, memory of this process."""

from pathlib import Path

import pytest

from legato.lab import machine


def test_the_name_of_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: A CPU: 2 GHz\n")
    monkeypatch.setattr(machine, "_CPUINFO", info)
    assert machine.cpu_name() == "A CPU: 2 GHz"
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "gone")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert machine.cpu_name() == "arm64"


def test_memory_in_use() -> None:
    now, peak = machine.rss(), machine.peak_rss()
    assert peak is not None
    assert now is None or 10e6 < now <= peak
    assert machine.peak_rss_mb() == pytest.approx(peak / 1e6, rel=0.5)


def test_memory_where_there_is_no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_STATUS", tmp_path / "gone")
    assert machine.rss() is None
    peak = machine.peak_rss()
    assert peak is None or peak > 10e6
