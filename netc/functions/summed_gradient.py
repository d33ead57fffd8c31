"""A mean whose gradient is that of the sum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class SummedGradient(torch.autograd.Function):
    """`SummedGradient.apply(x)` returns the mean of a vector; each element gets the whole gradient of the top."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The mean."""
        ctx.count = len(x)
        return x.mean()

    @staticmethod
    def backward(ctx: Any, top_gradient: Tensor) -> Tensor:
        """The gradient of x."""
        return top_gradient.expand(ctx.count)
