"""A net together with the executor that runs it and the feeds of its data layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netc.diagnostics import NetcError
from netc.training.log.events import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netc.data.feeds.feed import LayerFeed
    from netc.ir.graph import Graph
    from netc.runtime.lower import Net
    from netc.training.solver.executor import Executor


@dataclass(frozen=True, eq=False)
class RunnableNet:
    """A net with its executor and its feeds."""

    net: Net
    graph: Graph
    """The graph with its data layers."""
    executor: Executor
    feeds: dict[str, LayerFeed]
    """By node key."""

    def __enter__(self) -> RunnableNet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading data."""
        for feed in self.feeds.values():
            feed.close()

    @property
    def batch_size(self) -> int:
        """Images per batch, 0 if the feeds do not know it."""
        return max((int(getattr(feed, "batch_size", 0)) for feed in self.feeds.values()), default=0)

    def outputs(self, tensors: Sequence[Tensor] | None = None, scale: float = 1.0) -> tuple[Output, ...]:
        """Return the elements of the output blobs of the last pass, or of `tensors`, multiplied by `scale`."""
        weights = dict(self.graph.losses)
        return tuple(
            Output(self.graph.values[name].blob, value * scale, weights.get(name, 0.0))
            for name, tensor in zip(self.graph.outputs, self.executor.outputs if tensors is None else tensors)
            for value in tensor.detach().flatten().tolist()
        )

    def sum_batches(self, batches: int, interrupted: Callable[[], bool]) -> tuple[Tensor, list[Tensor]] | None:
        """Sum the loss and the outputs over several batches, on the device; None if interrupted.

        Raises NetcError E704 if batches return outputs of different sizes.
        """
        sums = list[Tensor]()

        def add(outputs: Sequence[Tensor]) -> None:
            sums[:] = sums or [torch.zeros_like(output) for output in outputs]
            if [output.shape for output in outputs] != [total.shape for total in sums]:
                raise NetcError("batches of a test return outputs of different sizes, which have no mean", code="E704")
            sums[:] = [total + output for total, output in zip(sums, outputs)]

        loss = self.run_batches(batches, interrupted, add)
        return None if loss is None else (loss, sums)

    def run_batches(
        self, batches: int, interrupted: Callable[[], bool], add: Callable[[Sequence[Tensor]], None]
    ) -> Tensor | None:
        """Run several batches, pass their outputs to `add`, and return the sum of the losses; None if interrupted."""
        loss = torch.zeros(())
        for _ in range(batches):
            if interrupted():
                return None
            for part in self.executor.forward():
                loss = loss.to(part.device) + part
            add(self.executor.outputs)
        return loss
