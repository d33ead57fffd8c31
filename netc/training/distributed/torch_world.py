"""Several processes that train one net together, over torch.distributed: what `torchrun` starts, or `--gpu 0,1`.

    rank = rank_from_environment()                      rank, world size and local rank, as torchrun says them
    with join_world(rank, device) as world:                a TorchWorld; a World of one where there is no torchrun
        solver = Solver(settings, device=device, world=world)

As in Caffe's NCCL path, all begin with the weights of rank 0, rank r of w reads the records r, r + w, ... in batches of
the net's own size, gradients are averaged (gradient_averaging.py), and only rank 0 writes files and logs. BatchNorm
normalizes by the batch of its own process unless `sync_batch_norm` says otherwise (`synchronize`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

from netc.diagnostics import NetcError
from netc.runtime.lower import Net
from netc.runtime.modules import LayerModule
from netc.training.distributed.all_sum import all_sum
from netc.training.distributed.gradient_averaging import Averaging, connected
from netc.training.distributed.process_rank import ProcessRank
from netc.training.distributed.world import World
from netc.training.solver.signals import Request

PATIENCE = timedelta(hours=2)
"""How long a process may wait for the others, a test or a snapshot included."""
REQUESTS = (Request.NONE, Request.SNAPSHOT, Request.STOP)
"""Where processes were asked for different things, the last of them is done."""


@contextlib.contextmanager
def join_world(rank: ProcessRank, device: torch.device) -> Iterator[World]:
    """The world of this process: with the others where torchrun started it, else alone.

    GPUs talk over NCCL, CPUs over gloo. Errors inside get a note that names the rank. Raises NetcError E621 where the
    others cannot be reached.
    """
    if not rank.from_torchrun:
        yield World()
        return
    cuda = device.type == "cuda"
    with connected():
        dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE, device_id=device if cuda else None)
    world = TorchWorld(rank)
    try:
        yield world
    except NetcError as error:  # the others may be waiting: leave everything as it is, and let the process end
        placed = error.at(None, f"on {rank}")
        get_error_handler().record_exception(placed)  # for torchrun's own summary
        raise placed from error.__cause__
    world.close()
    dist.destroy_process_group()


class TorchWorld(World):
    """The processes of torch.distributed's default group. All of a world call the same methods in the same order."""

    def __init__(self, rank: ProcessRank) -> None:
        self.rank, self.world_size = rank.rank, rank.world_size
        gloo = dist.get_backend() == "gloo"
        self._words = dist.group.WORLD if gloo else dist.new_group(backend="gloo", timeout=PATIENCE)
        """For what is said from CPU to CPU, so that a GPU is not waited for."""
        self._asked: tuple[Tensor, Any] | None = None

    def agree(self, request: Request) -> Request:
        """What all do: the strongest of what each was asked for at its last call.

        The answer to a request comes with the next call, so that nobody waits for the slowest: it travels meanwhile.
        """
        answer = Request.NONE
        with connected():
            if self._asked is not None:
                asked, work = self._asked
                work.wait()
                answer = REQUESTS[int(asked.item())]
            asked = torch.tensor(REQUESTS.index(request))
            self._asked = asked, dist.all_reduce(asked, dist.ReduceOp.MAX, group=self._words, async_op=True)
        return answer

    def close(self) -> None:
        """Wait for what is under way."""
        if self._asked is not None:
            self._asked[1].wait()

    def average(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The mean over the world of each tensor, in one message."""
        if not values:
            return []
        flat = torch.cat([value.detach().reshape(-1).double() for value in values])
        with connected():
            dist.all_reduce(flat)
        pieces = torch.split(flat / self.world_size, [value.numel() for value in values])
        return [piece.view(value.shape).to(value.dtype) for piece, value in zip(pieces, values)]

    def gather(self, value: Any) -> list[Any]:
        """Each process's value, by rank; anything that pickle takes."""
        values: list[Any] = [None] * self.world_size
        with connected():
            dist.all_gather_object(values, value, group=self._words)
        return values

    def share(self, value: Any) -> Any:
        """Rank 0's value, for all; anything that pickle takes."""
        values = [value]
        with connected():
            dist.broadcast_object_list(values, src=0, group=self._words)
        return values[0]

    def join(self, net: Net, passes: int, sync_batch_norm: bool = False) -> Callable[[], None]:
        """Give all processes the weights of rank 0, and average gradients from now on.

        What is returned is to be called between backward and update; `passes` is how many backward passes an update
        takes, and `sync_batch_norm` makes BatchNorm normalise by the batches of all.
        """
        for blob in net.blobs:
            if blob.is_owner:
                _broadcast(blob.tensor)
        if sync_batch_norm:
            synchronize(net)
        return Averaging([parameter for parameter in net.parameters() if parameter.requires_grad], passes).finish


def _broadcast(tensor: Tensor) -> None:
    """Overwrite a tensor, in whatever memory layout, with rank 0's."""
    whole = tensor.detach().contiguous()
    with connected():
        dist.broadcast(whole, src=0)
    if whole.data_ptr() != tensor.data_ptr():
        tensor.detach().copy_(whole)


def synchronize(net: Net) -> None:
    """Let BatchNorm layers normalise by the batches of all processes in training."""
    for module in net.modules():
        if isinstance(module, LayerModule) and module.layer.batch_statistics:
            module.state["all_sum"] = all_sum
