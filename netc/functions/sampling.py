"""Random subsets, drawn from torch's random numbers on the device of the data."""

from __future__ import annotations

import torch
from torch import Tensor


def random_subset(mask: Tensor, count: int | Tensor) -> Tensor:
    """Return `mask` (n) with at most `count` of its elements, drawn at random without replacement.

    >>> random_subset(torch.tensor([True, False, True, True]), 2).sum()
    tensor(2)
    """
    keys = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, 2.0)
    rank = keys.argsort().argsort()
    return mask & (rank < count)


def random_order(count: int, device: torch.device, limit: int) -> Tensor:
    """Return `limit` of the numbers below `count`, in random order.

    >>> sorted(random_order(3, torch.device("cpu"), 5).tolist())
    [0, 1, 2]
    """
    return torch.randperm(count, device=device)[:limit]
