"""The processes that train one net together; a single process is a world of size one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from netc.runtime.lower import Net
    from netc.training.solver.signals import Request


class World:
    """A single process. TorchWorld (netc.training.distributed.torch_world) overrides all of it for several."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files: only rank 0 does."""
        return self.rank == 0

    def agree(self, request: Request) -> Request:
        """Return the request that all processes follow, given this process's own."""
        return request

    def average(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean of each tensor over all processes."""
        return list(values)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank."""
        return [value]

    def share(self, value: Any) -> Any:
        """Return rank 0's value."""
        return value

    def join(self, net: Net, passes: int, sync_batch_norm: bool = False) -> Callable[[], None] | None:
        """Start training a net together; return a function to call between backward and update, or None."""
        return None


SINGLE_PROCESS = World()
