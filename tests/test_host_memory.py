"""The memory that is available, by the system and by the container."""

from __future__ import annotations

from netc import host_memory


def test_the_smaller_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:  300 kB\nSwapFree: 100 kB\n")
    monkeypatch.setattr(host_memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(host_memory, "CGROUP", tmp_path / "limit")
    assert host_memory.available_memory() == 400 << 10
    (tmp_path / "limit").write_text("max\n")
    assert host_memory.available_memory() == 400 << 10
    (tmp_path / "limit").write_text("5000\n")
    assert host_memory.available_memory() == 5000


def test_a_system_that_does_not_say(tmp_path, monkeypatch):
    monkeypatch.setattr(host_memory, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(host_memory, "CGROUP", tmp_path / "none")
    assert host_memory.available_memory() is None
