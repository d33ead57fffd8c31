"""Training with several processes over torch.distributed, started by `torchrun` or `--gpu 0,1`.

    rank = rank_from_environment()                      rank, world size and local rank, from torchrun
    with join_world(rank, device) as world:                a TorchWorld; without torchrun a World of one process
        solver = Solver(settings, device=device, world=world)

As in Caffe's NCCL path, all processes start with the weights of rank 0, rank r of w reads the records r, r + w, ... in
batches of the net's own size, gradients are averaged (gradient_averaging.py), and only rank 0 writes files and logs.
BatchNorm normalizes by the batch of its own process, unless `sync_batch_norm` is set.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

from netc.diagnostics import NetcError
from netc.runtime.modules import LayerModule
from netc.training.distributed.all_sum import all_sum
from netc.training.distributed.gradient_averaging import GradientAveraging, connection_errors
from netc.training.distributed.world import World
from netc.training.solver.signals import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from netc.runtime.lower import Net
    from netc.training.distributed.process_rank import ProcessRank

TIMEOUT = timedelta(hours=2)
"""How long a process waits for the others, including their tests and snapshots."""
REQUESTS = (Request.NONE, Request.SNAPSHOT, Request.STOP, Request.SNAPSHOT_AND_STOP)
"""In increasing priority, if processes received different requests."""


@contextlib.contextmanager
def join_world(rank: ProcessRank, device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started; without torchrun yield a world of one process.

    GPUs communicate over NCCL, CPUs over gloo. Errors inside the context get a note with the rank. Raises NetcError
    E621 if the other processes cannot be reached.
    """
    if not rank.from_torchrun:
        yield World()
        return
    cuda = device.type == "cuda"
    with connection_errors():
        dist.init_process_group("nccl" if cuda else "gloo", timeout=TIMEOUT, device_id=device if cuda else None)
    world = TorchWorld(rank)
    try:
        yield world
    except NetcError as error:  # others may be waiting: do not clean up, and let the process end
        placed = error.at(None, f"on {rank}")
        get_error_handler().record_exception(placed)  # for torchrun's own summary
        raise placed from error.__cause__
    world.close()
    dist.destroy_process_group()


class TorchWorld(World):
    """The processes of torch.distributed's default group. All must call the same methods in the same order."""

    def __init__(self, rank: ProcessRank) -> None:
        self.rank, self.world_size = rank.rank, rank.world_size
        gloo = dist.get_backend() == "gloo"
        self._cpu_group = dist.group.WORLD if gloo else dist.new_group(backend="gloo", timeout=TIMEOUT)
        """For messages between CPUs, so that the CPU need not wait for a GPU."""
        self._pending: tuple[Tensor, Any] | None = None

    def agree(self, request: Request) -> Request:
        """Return the request of the highest priority that any process made at its previous call.

        Requests take effect one call later: they are sent in the background, so that no process waits for the slowest.
        """
        answer = Request.NONE
        with connection_errors():
            if self._pending is not None:
                request_index, work = self._pending
                work.wait()
                answer = REQUESTS[int(request_index.item())]
            request_index = torch.tensor(REQUESTS.index(request))
            self._pending = (
                request_index,
                dist.all_reduce(request_index, dist.ReduceOp.MAX, group=self._cpu_group, async_op=True),
            )
        return answer

    def close(self) -> None:
        """Wait for pending messages."""
        if self._pending is not None:
            self._pending[1].wait()

    def average(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean of each tensor over all processes, in one message."""
        if not values:
            return []
        flat = torch.cat([value.detach().reshape(-1).double() for value in values])
        with connection_errors():
            dist.all_reduce(flat)
        pieces = torch.split(flat / self.world_size, [value.numel() for value in values])
        return [piece.view(value.shape).to(value.dtype) for piece, value in zip(pieces, values)]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank; anything that can be pickled."""
        values: list[Any] = [None] * self.world_size
        with connection_errors():
            dist.all_gather_object(values, value, group=self._cpu_group)
        return values

    def share(self, value: Any) -> Any:
        """Return rank 0's value; anything that can be pickled."""
        values = [value]
        with connection_errors():
            dist.broadcast_object_list(values, src=0, group=self._cpu_group)
        return values[0]

    def join(self, net: Net, passes: int, sync_batch_norm: bool = False) -> Callable[[], None]:
        """Copy the weights of rank 0 to all processes, and average gradients from now on.

        Returns a function to call between backward and update. `passes` is the number of backward passes per update;
        `sync_batch_norm` makes BatchNorm normalize by the batches of all processes.
        """
        for blob in net.blobs:
            if blob.is_owner:
                _broadcast(blob.tensor)
        if sync_batch_norm:
            synchronize(net)
        return GradientAveraging(
            [parameter for parameter in net.parameters() if parameter.requires_grad], passes
        ).finish


def _broadcast(tensor: Tensor) -> None:
    """Overwrite a tensor of any memory layout with rank 0's."""
    whole = tensor.detach().contiguous()
    with connection_errors():
        dist.broadcast(whole, src=0)
    if whole.data_ptr() != tensor.data_ptr():
        tensor.detach().copy_(whole)


def synchronize(net: Net) -> None:
    """Let BatchNorm layers normalize by the batches of all processes in training."""
    for module in net.modules():
        if isinstance(module, LayerModule) and module.layer.batch_statistics:
            module.all_sum = all_sum
