"""The identity with a gradient that is clamped element by element."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class ClippedGradient(torch.autograd.Function):
    """`ClippedGradient.apply(x, bound)` returns x; each element of its gradient is clamped to -bound to bound."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        """A view of x."""
        ctx.bound = bound
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor, None]:
        """The clamped gradient of x; none for the bound."""
        return top_gradient.clamp(-ctx.bound, ctx.bound), None
