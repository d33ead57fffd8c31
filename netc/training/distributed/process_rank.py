"""The rank of a process among those that train one net together. Never imports torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ProcessRank:
    """The number of a process, and how many processes there are."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    """The rank among the processes of this machine."""
    from_torchrun: bool = False
    """Whether torchrun, or another launcher that sets its environment variables, started the process."""

    def __str__(self) -> str:
        """The rank as messages show it."""
        return f"rank {self.rank} of {self.world_size}"


SINGLE_RANK = ProcessRank()


def rank_from_environment(environment: Mapping[str, str] = os.environ) -> ProcessRank:
    """Return the rank that torchrun's environment variables specify; SINGLE_RANK without them.

    >>> rank_from_environment({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"})
    ProcessRank(rank=3, world_size=4, local_rank=1, from_torchrun=True)
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return SINGLE_RANK
    rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    return ProcessRank(rank, size, int(environment.get("LOCAL_RANK", rank)), True)
