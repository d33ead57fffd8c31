"""Starts the processes that train one net together, with the launcher behind `torchrun`."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence

from netc.diagnostics import NetcError


def launch(arguments: Sequence[str], processes: int) -> None:
    """Run `python -m netc ARGUMENTS` in so many processes of this machine, and wait for them.

    Each finds its rank in its environment. The first that fails ends the others; one that ended with status 1 has told
    its error. Raises NetcError E621 for one that a signal or an error of ours ended, and SystemExit with status 1 or 2
    where a process has told what is wrong.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # its errors repeat the processes' own
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"netc-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "netc", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode in (1, 2):
            raise SystemExit(failure.exitcode) from None
        raise _ended(rank, failure.exitcode, processes) from None
    except SignalException as error:
        raise SystemExit(128 + int(error.sigval)) from None


def _ended(rank: int, status: int, processes: int) -> NetcError:
    """What to say of a process that could not say it itself."""
    how = f"with status {status}" if status >= 0 else f"by signal {_signal(-status)}"
    help = "the system may have run out of memory: `dmesg` tells" if -status == signal.SIGKILL else None
    return NetcError(f"rank {rank} of {processes} was ended {how}", code="E621", help=help)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
