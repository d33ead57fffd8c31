"""Where a process stands among those that train one net together. Never imports torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessRank:
    """A process's number, and how many there are."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    """Among those of its machine."""
    started: bool = False
    """Whether torchrun, or whoever sets what torchrun does, started it."""

    def __str__(self) -> str:
        """As messages name it."""
        return f"rank {self.rank} of {self.world_size}"


ALONE = ProcessRank()


def place_of_environment(environment: Mapping[str, str] = os.environ) -> ProcessRank:
    """The place that torchrun's environment variables give; alone where there are none.

    >>> place_of_environment({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"})
    ProcessRank(rank=3, world_size=4, local_rank=1, started=True)
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return ALONE
    rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    return ProcessRank(rank, size, int(environment.get("LOCAL_RANK", rank)), True)
