"""A process that runs cases under limits of time and memory, and is replaced when one of them ends it."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import resource
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fuzz.execution import Fault, run

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from fuzz.case import Case

_CONTEXT = multiprocessing.get_context("spawn")
GROWTH = 1 << 30
"""Bytes by which a case may raise the resident memory of its process."""
IMPORTED = ("netc.compiler", "netc.conversion", "netc.inspection", "netc.training")
"""Modules that are imported before the first case, so that no case pays for them."""


@dataclass
class Sandbox:
    """Runs cases in another process."""

    seconds: float = 20.0
    """Time limit of a case."""
    memory: int = 6 << 30
    """Address space that the process may allocate in addition to what it has after its imports, in bytes."""
    _process: multiprocessing.process.BaseProcess | None = field(default=None, init=False)
    _pipe: Connection | None = field(default=None, init=False)

    def run(self, case: Case) -> Fault | None:
        """Run a case and return its fault; the death of the process and a time limit are faults."""
        pipe = self._started()
        pipe.send(case)
        verb = case.commands[0][0] if case.commands else ""
        if not pipe.poll(self.seconds):
            self.close()
            return Fault(f"{verb}: time limit", f"more than {self.seconds:g} s", 0)
        try:
            answer = pipe.recv()
        except EOFError:
            status = self._status()
            self.close()
            return Fault(f"{verb}: the process died, {status}", "", 0)
        return answer if isinstance(answer, Fault) else None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _started(self) -> Connection:
        if self._pipe is None:
            self._pipe, other = _CONTEXT.Pipe()
            self._process = _CONTEXT.Process(target=_serve, args=(other, self.memory), daemon=True)
            self._process.start()
            other.close()
            self._pipe.recv()  # imports are done
        return self._pipe

    def _status(self) -> str:
        assert self._process is not None
        self._process.join()
        code = self._process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _serve(pipe: Connection, memory: int) -> None:
    import torch

    for module in IMPORTED:
        importlib.import_module(module)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the campaign, which ends its processes
    torch.set_num_threads(1)
    limit = _kilobytes("VmSize") * 1024 + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    pipe.send(None)
    while True:
        case = pipe.recv()
        before = _reset_peak()
        with tempfile.TemporaryDirectory(prefix="fuzz", ignore_cleanup_errors=True) as directory:
            inner = Path(directory, "case")  # `..` is a directory of its own too
            inner.mkdir()
            fault = run(case, inner)
        grown = _kilobytes("VmHWM") * 1024 - before
        if fault is None and grown > GROWTH and case.commands:
            fault = Fault(f"{case.commands[0][0]}: memory", f"grew by {grown / 1e9:.1f} GB", 0)
        pipe.send(fault)


def _kilobytes(name: str) -> int:
    """Return a figure of /proc/self/status, 0 on other systems than Linux."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0


def _reset_peak() -> int:
    """Reset the peak of resident memory to the present value, in bytes, and return it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _kilobytes("VmRSS") * 1024
