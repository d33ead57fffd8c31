"""Weights by which rows or columns of an image make those of an image of another size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def resampling(
    bottom: Sequence[int], top: Sequence[int], cubic: bool, antialias: bool, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the matrices of rows and columns of Resample, each (top extent, bottom extent)."""
    factors = [extent / own for extent, own in zip(bottom, top)]
    grows = antialias and max(factors) > 1
    matrices = []
    for extent, place, factor in zip(bottom, _places(top, factors, like), factors):
        distance = place.unsqueeze(1) - _range(extent, like)
        weights = (_keys if cubic else _triangle)(distance / factor if grows else distance)
        total = weights.sum(1, keepdim=True)
        matrices.append(weights / total.masked_fill(total == 0, 1))  # without weights the sum is 0, and so is the top
    return matrices[0], matrices[1]


def nearest(bottom: Sequence[int], top: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the indices of the rows and columns that Resample repeats; halves are rounded up."""
    import torch

    factors = [extent / own for extent, own in zip(bottom, top)]
    places = _places(top, factors, torch.empty((), device=device))
    rows, columns = ((place + 0.5).floor().clamp(0, e - 1).long() for place, e in zip(places, bottom))
    return rows, columns


def _places(top: Sequence[int], factors: Sequence[float], like: Tensor) -> list[Tensor]:
    """Positions in the bottom: each axis is moved by half of the other's factor, as in FlowNet2."""
    others = factors[::-1]
    return [_range(own, like) * factor + other / 2 - 0.5 for own, factor, other in zip(top, factors, others)]


def downsampling(bottom: Sequence[int], top: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of rows and columns of Downsample, not normalized."""
    matrices = []
    for extent, own in zip(bottom, top):
        factor = (extent - 1) / (own - 1) if own > 1 else 1.0
        if extent == 1:  # the only element, everywhere
            matrices.append(_range(own, like).unsqueeze(1) * 0 + 1)
            continue
        distance = (_range(own, like) * factor).unsqueeze(1) - _range(extent, like)
        matrices.append(_triangle(distance / factor))
    return matrices[0], matrices[1]


def _range(extent: int, like: Tensor) -> Tensor:
    import torch

    return torch.arange(extent, device=like.device, dtype=like.dtype)


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _keys(x: Tensor) -> Tensor:
    """Keys' kernel of cubic interpolation with a = -1/2."""
    import torch

    x = x.abs()
    near = x * x * (1.5 * x - 2.5) + 1
    far = x * (x * (-0.5 * x + 2.5) - 4) + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))
