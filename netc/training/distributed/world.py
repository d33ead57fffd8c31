"""The processes that train one net together; a process alone is a team of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from netc.runtime.lower import Net
from netc.training.solver.signals import Request


class World:
    """One process, alone. netc.training.distributed.torch_world has teams of several, which override all of this."""

    rank: int = 0
    world_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def agree(self, request: Request) -> Request:
        """What all do, where each was asked for something of its own."""
        return request

    def average(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The mean over the team of each tensor: the loss and outputs of a test."""
        return list(values)

    def gather(self, value: Any) -> list[Any]:
        """Each process's value, by rank."""
        return [value]

    def share(self, value: Any) -> Any:
        """Rank 0's value, for all."""
        return value

    def join(self, net: Net, passes: int, synchronized: bool = False) -> Callable[[], None] | None:
        """Begin to train a net together; what is to be called between backward and update, None for nothing."""
        return None


ALONE = World()
