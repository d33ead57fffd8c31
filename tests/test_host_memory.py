"""The memory that is available, by the system and by the container."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc import host_memory
from netc.diagnostics import NetcError


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


def test_an_allocation_beyond_the_memory(monkeypatch):
    monkeypatch.setattr(host_memory, "available_memory", lambda: 2_000_000_000)
    assert host_memory.excess(2_500_000_000) == "2.5 GB, more than the 2.0 GB of memory available"
    assert host_memory.excess(2_000_000_000) is None
    monkeypatch.setattr(host_memory, "available_memory", lambda: None)
    assert host_memory.excess(2_500_000_000) is None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "the memory does not suffice"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8589934592 bytes. Error"),
            "the memory does not suffice: 8.6 GB were requested",
        ),
        (
            MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64"),
            "the memory does not suffice: 7.45 GiB were requested",
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.00 GiB"),
            "the memory of the GPU does not suffice: 20.00 GiB were requested",
        ),
    ],
)
def test_exceptions_about_memory_are_diagnostics(error, message):
    with pytest.raises(NetcError) as caught, host_memory.memory_errors():
        raise error
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("E311", message)


def test_other_exceptions_pass():
    with pytest.raises(RuntimeError, match="sizes differ"), host_memory.memory_errors():
        raise RuntimeError("sizes differ")


def test_torch_and_numpy_say_it_in_these_words():
    for allocate in (lambda: torch.empty(1 << 60), lambda: np.empty(1 << 52)):
        with pytest.raises(NetcError, match="were requested"), host_memory.memory_errors():
            allocate()
