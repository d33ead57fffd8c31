"""Recursive filtering of rows: y[i] = x[i] + w[i] (y[i - 1] - x[i])."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def recursive_filter(x: Tensor, weight: Tensor) -> Tensor:
    """Filter the last axis of `x`, of shape (n, c, h, w), with weights of shape (n, 1, h, w)."""
    top: Tensor = RecursiveFilter.apply(x, weight)  # type: ignore[no-untyped-call]
    return top


class RecursiveFilter(torch.autograd.Function):
    """`RecursiveFilter.apply(x, weight)` filters the last axis from its start to its end; y[0] is x[0].

    `x` has shape (n, c, h, w), `weight` (n, 1, h, w); `weight[..., 0]` has no effect. Each pass takes log2(w) steps
    over whole tensors.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """The filtered rows."""
        kept = weight.clone()
        kept[..., 0] = 0
        top = _scanned((1 - kept) * x, kept)
        ctx.save_for_backward(x, kept, top)
        return top

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of the rows and, summed over channels, of the weights."""
        x, kept, top = ctx.saved_tensors
        after = torch.nn.functional.pad(kept[..., 1:], (0, 1))
        sums = _scanned(top_gradient.flip(-1), after.flip(-1)).flip(-1)
        before = torch.nn.functional.pad(top[..., :-1], (1, 0))
        along = (sums * (before - x)).sum(1, keepdim=True)
        along[..., 0] = 0
        return sums * (1 - kept), along


def _scanned(addend: Tensor, factor: Tensor) -> Tensor:
    """y[i] = addend[i] + factor[i] y[i - 1], by doubling the distance over which terms are combined."""
    distance = 1
    while distance < addend.shape[-1]:
        earlier = torch.nn.functional.pad(addend[..., :-distance], (distance, 0))
        addend = addend + factor * earlier
        factor = factor * torch.nn.functional.pad(factor[..., :-distance], (distance, 0))
        distance *= 2
    return addend
