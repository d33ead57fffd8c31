"""Results as a table and as JSON, with date, machine and versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.timing import Timing


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    name: str
    timing: Timing
    bar: float | None = None
    """The limit of the ratio."""
    memory: tuple[int, int] | None = None
    """Bytes, ours and theirs."""
    notes: dict[str, Any] = field(default_factory=dict)

    def row(self) -> tuple[str, ...]:
        """The cells of the table."""
        ours, theirs = (statistics.median(side) * 1e3 for side in (self.timing.ours, self.timing.theirs))
        low, high = self.timing.spread
        bar = "" if self.bar is None else f"{self.bar:.2f} {'met' if self.timing.ratio <= self.bar else 'MISSED'}"
        memory = f"{self.memory[0] / 1e6:.1f} / {self.memory[1] / 1e6:.1f} = {self.held:.3f}" if self.memory else ""
        ratio, spread = f"{self.timing.ratio:.3f}", f"{low:.3f} to {high:.3f}"
        return (self.name, f"{ours:.2f}", f"{theirs:.2f}", ratio, spread, bar, memory)

    @property
    def held(self) -> float:
        """The ratio of the bytes."""
        return self.memory[0] / self.memory[1] if self.memory else float("nan")

    def plain(self) -> dict[str, Any]:
        """The result for JSON, including the seconds of every round."""
        return {
            "name": self.name,
            "ratio": self.timing.ratio,
            "quartiles": self.timing.spread,
            "bar": self.bar,
            "memory": self.memory,
            "seconds": {"netc": self.timing.ours, "other": self.timing.theirs},
            **self.notes,
        }


HEAD = ("case", "netc ms", "other ms", "ratio", "quartiles", "bar", "MB held, netc / other")


def table(results: list[Result]) -> str:
    """The results, aligned."""
    rows = [HEAD, *(result.row() for result in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def surroundings(device: str, threads: int) -> dict[str, Any]:
    """Date, hardware and versions."""
    found = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "numpy", "protobuf")},
        "device": device,
        "threads": threads,
        "waiting": os.environ.get("OMP_WAIT_POLICY", "default"),
        "precision": "float32",
    }
    return {**found, "gpu": _gpu()} if device == "cuda" else found


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _gpu() -> str:
    import torch

    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
