"""Averages gradients over all processes, while backward still computes those of earlier layers.

As in Caffe's NCCL path (`parallel.cpp`, on_gradients_ready, layer_wise_reduce): the sum over all processes of each
gradient, times one over their number, before clipping, weight decay and update. Gradients are sent in buckets
of up to 25 MB, in the reverse order of the parameters, which is about the order in which backward completes them.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUCKET_BYTES = 25 << 20
"""Size of a bucket, in bytes."""
FIRST_BUCKET_BYTES = 1 << 20
"""Size of the first bucket, smaller so that communication starts early."""


class GradientAveraging:
    """Averages the gradients of `parameters` over all processes; `finish` is called between backward and update.

    A bucket is sent when each of its gradients was added to `passes` times (`iter_size`) and all previous buckets were
    sent, so that all processes send in the same order; `finish` sends the rest. A missing gradient counts as zeros.
    Raises NetcError E621 if another process has ended.
    """

    def __init__(self, parameters: Sequence[Tensor], passes: int = 1) -> None:
        self.passes, self.world_size = passes, dist.get_world_size()
        self.buckets = [_Bucket(some) for some in _split(list(parameters)[::-1])]
        self._bucket_of = {parameter: bucket for bucket in self.buckets for parameter in bucket.parameters}
        self._seen: Counter[Tensor] = Counter()
        self._sent = 0
        for parameter in self._bucket_of:
            parameter.register_post_accumulate_grad_hook(self._arrived)  # type: ignore[no-untyped-call]

    def finish(self) -> None:
        """Wait until every parameter's `grad` is the mean over all processes."""
        self._send(len(self.buckets))
        for bucket in self.buckets:
            bucket.receive(1 / self.world_size)
        self._seen.clear()
        self._sent = 0

    def _arrived(self, parameter: Tensor) -> None:
        self._seen[parameter] += 1
        if self._seen[parameter] == self.passes:
            bucket = self._bucket_of[parameter]
            bucket.missing -= 1
            if not bucket.missing:
                ready = next((i for i, b in enumerate(self.buckets) if b.missing), len(self.buckets))
                self._send(ready)

    def _send(self, stop: int) -> None:
        for bucket in self.buckets[self._sent : stop]:
            bucket.send()
        self._sent = max(self._sent, stop)


class _Bucket:
    """Gradients that are sent together, in one buffer, which then holds the averaged gradients."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self.missing = len(parameters)
        sizes = [parameter.numel() for parameter in parameters]
        self.memory = torch.zeros(sum(sizes), dtype=parameters[0].dtype, device=parameters[0].device)
        self.pieces = torch.split(self.memory, sizes)
        self._work: Any = None

    def send(self) -> None:
        pieces, gradients = [], []
        for parameter, piece in zip(self.parameters, self.pieces):
            if parameter.grad is None:
                piece.zero_()
            elif parameter.grad.data_ptr() != piece.data_ptr():
                pieces.append(piece)
                gradients.append(parameter.grad.reshape(-1))
        if pieces:
            torch._foreach_copy_(pieces, gradients)
        with connection_errors():
            self._work = dist.all_reduce(self.memory, async_op=True)

    def receive(self, scale: float) -> None:
        with connection_errors():
            self._work.wait()
        self.memory.mul_(scale)
        for parameter, piece in zip(self.parameters, self.pieces):
            if parameter.grad is None or parameter.grad.is_contiguous():
                parameter.grad = piece.view(parameter.shape)
            else:  # in the memory layout of the parameter, which fused updates require
                parameter.grad.copy_(piece.view(parameter.shape))
        self.missing, self._work = len(self.parameters), None


@contextlib.contextmanager
def connection_errors() -> Iterator[None]:
    """Convert torch's errors for a broken connection to NetcError E621."""
    try:
        yield
    except NetcError:
        raise
    except RuntimeError as error:
        raise NetcError(
            "a process of this run has ended",
            code="E621",
            notes=[str(error).splitlines()[0].split(". ")[0]],
            help="look for an error message of that process, or for a signal that ended it",
        ) from error


def _split(parameters: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield groups of parameters of one dtype and device, up to the bucket size."""
    bucket: list[Tensor] = []
    size, limit = 0, FIRST_BUCKET_BYTES
    for parameter in parameters:
        other = bucket and (bucket[0].dtype, bucket[0].device) != (parameter.dtype, parameter.device)
        if bucket and (other or size >= limit):
            yield bucket
            bucket, size, limit = [], 0, BUCKET_BYTES
        bucket.append(parameter)
        size += parameter.numel() * parameter.element_size()
    if bucket:
        yield bucket
