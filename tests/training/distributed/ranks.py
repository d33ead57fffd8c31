"""Runs functions as the ranks of a world of gloo on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from netc.training.distributed.process_rank import ProcessRank
from netc.training.distributed.torch_world import TorchWorld, join_world


def run_ranks(folder: Path, function: Callable[[TorchWorld], Any], size: int = 2) -> list[Any]:
    """What `function(world)` returns on each rank; `function` is a module's. Raises what a rank raises."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, (size, port, function, folder), nprocs=size)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(size)]


def _rank(rank: int, size: int, port: int, function: Callable[[TorchWorld], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(size))
    with join_world(ProcessRank(rank, size, rank, True), torch.device("cpu")) as world:
        torch.save(function(world), folder / f"rank{rank}.pt")
        torch.distributed.barrier()  # gloo aborts a process that is still busy when the others have ended
