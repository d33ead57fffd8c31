"""Starts the processes that train one net together, with torchrun's launcher."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.training.distributed.process_rank import rank_from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

SECONDS_TO_STOP = "600"
"""The time that processes have for their last iteration and snapshot after a signal to stop."""


def process_count(gpu: str | None) -> int:
    """Return the number of processes to start for `--gpu`; 1, that is none, in a process started by torchrun.

    Raises NetcError E606 for GPUs that do not exist.
    """
    from netc.training.device import gpus_of

    return 1 if not gpu or rank_from_environment().from_torchrun else len(gpus_of(gpu))


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run `python -m netc ARGUMENTS` in several processes on this machine; return the exit status.

    Each process finds its rank in its environment. The first one that fails ends the others; with status 1 or 2 it has
    reported its error itself. SIGINT and SIGHUP are forwarded to the processes. Raises NetcError E621 for a process
    that was ended by a signal or an internal error.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", SECONDS_TO_STOP)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the processes report their errors themselves
    try:
        with _forwarding_hangups():
            elastic_launch(_configuration(processes), sys.executable)("-m", "netc", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode not in (1, 2):
            raise _ended(rank, failure.exitcode, processes) from None
        return int(failure.exitcode)
    except SignalException as error:
        return 0 if error.sigval == signal.SIGINT else 128 + int(error.sigval)
    return 0


def _configuration(processes: int) -> Any:
    from torch.distributed.launcher.api import LaunchConfig

    known = {field.name for field in dataclasses.fields(LaunchConfig)}
    newer: dict[str, Any] = {"signals_to_handle": "SIGTERM,SIGINT,SIGQUIT"}  # not in all supported releases of torch
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"netc-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        **{name: value for name, value in newer.items() if name in known},
    )


@contextlib.contextmanager
def _forwarding_hangups() -> Iterator[None]:
    """Forward SIGHUP to the processes, if the system has it and this is the main thread."""
    try:
        before = signal.signal(signal.SIGHUP, _forward)
    except (AttributeError, ValueError):
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _forward(number: int, frame: FrameType | None) -> None:
    for process in _children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def _children() -> Iterator[int]:
    """Yield the child processes, from /proc (proc(5): the fourth field of `stat`)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                yield int(stat.parent.name)


def _ended(rank: int, status: int, processes: int) -> NetcError:
    """Return the error for a process that could not report it itself."""
    how = f"with status {status}" if status >= 0 else f"by signal {_signal(-status)}"
    help = "the system may have run out of memory: see `dmesg`" if -status == signal.SIGKILL else None
    return NetcError(f"rank {rank} of {processes} was ended {how}", code="E621", help=help)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
