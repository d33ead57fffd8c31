"""Caffe's `NCCL`: training by several processes, on torch.distributed.

solver = caffe.get_solver("solver.prototxt")
nccl = caffe.NCCL(solver, uid)
nccl.bcast()
solver.add_callback(nccl)
solver.step(100)
"""

from __future__ import annotations

import datetime
import os
import socket
from typing import TYPE_CHECKING, Protocol

import torch
import torch.distributed as dist

from netc.diagnostics import NetcError
from netc.pycaffe.mode import device, solver_count, solver_rank
from netc.runtime.array_blobs import write_back

if TYPE_CHECKING:
    from netc.pycaffe.net import Net

TIMEOUT = datetime.timedelta(minutes=5)


class Trainer(Protocol):
    """A solver."""

    @property
    def net(self) -> Net:
        """Its train net."""


def has_nccl() -> bool:
    """Whether torch's NCCL can be used: with CUDA, in a build that contains it."""
    return torch.cuda.is_available() and dist.is_available() and dist.is_nccl_available()


class NCCL:
    """Averages the gradients of a solver over the processes that train together.

    Joins them as rank `solver_rank()` of `solver_count()` unless torch.distributed is initialized, as by torchrun: with
    NCCL in the mode `set_mode_gpu`, otherwise with Gloo. `uid` is that of the first process, from `new_uid`. Raises
    NetcError E621 if they cannot join.
    """

    def __init__(self, solver: Trainer, uid: bytes | str) -> None:
        self.solver = solver
        if not dist.is_initialized():
            self._join(os.fsdecode(uid))

    @staticmethod
    def new_uid() -> bytes:
        """Return an identifier of a group of processes: the address at which its first process will listen."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return f"tcp://127.0.0.1:{free.getsockname()[1]}".encode()

    def bcast(self) -> None:
        """Copy the weights of the first process to all others."""
        write_back()
        module = self.solver.net.module
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), 0)

    def on_start(self) -> None:
        """Nothing; called before the passes of each iteration."""

    def on_gradients_ready(self) -> None:
        """Average the gradients over all processes."""
        write_back()
        for tensor in self.solver.net.module.parameters():
            if tensor.grad is not None:
                dist.all_reduce(tensor.grad)
                tensor.grad.div_(dist.get_world_size())

    @staticmethod
    def _join(uid: str) -> None:
        backend = "nccl" if device().type == "cuda" else "gloo"
        try:
            dist.init_process_group(
                backend, init_method=uid, rank=solver_rank(), world_size=solver_count(), timeout=TIMEOUT
            )
        except (RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise NetcError(f"the processes that train together cannot be joined: {reason}", code="E621") from None
