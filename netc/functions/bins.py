"""The bins of regions of interest: how Fast R-CNN's layers divide a region into a grid."""

from __future__ import annotations

import torch
from torch import Tensor

FARTHEST = float(1 << 30)
"""Bound of infinite edges."""


def round_half_away(x: Tensor) -> Tensor:
    """Round to the nearest integer, halves away from zero, as C's `round`.

    >>> round_half_away(torch.tensor([0.5, -2.5, 0.49999997, 3.2]))
    tensor([ 1., -3.,  0.,  3.])
    """
    whole = x.trunc()
    return whole + x.sign() * ((x - whole).abs() >= 0.5)


def bin_edges(start: Tensor, size: Tensor, bins: int, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The first element of each bin and the one after its last, not clipped: (r) to (r, bins) twice, as floats.

    Bin k covers floor(k size + start) to ceil((k + 1) size + start), moved by `shift`. Edges that are not numbers are 0
    and infinite ones FARTHEST, so that they can become integers.
    """
    steps = torch.arange(bins + 1, dtype=size.dtype, device=size.device) * size[:, None] + start[:, None]
    edges = steps[:, :-1].floor() + shift[:, None], steps[:, 1:].ceil() + shift[:, None]
    first, last = (edge.nan_to_num(0, FARTHEST, -FARTHEST) for edge in edges)
    return first, last
