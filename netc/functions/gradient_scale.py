"""The identity, whose gradient is multiplied by a factor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class GradientScale(torch.autograd.Function):
    """`GradientScale.apply(x, factor)` is x; its gradient is that of the result times `factor`, a scalar.

    >>> x = torch.ones(2, requires_grad=True)
    >>> GradientScale.apply(x, torch.tensor(-0.5)).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000])
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        """A view of x."""
        ctx.save_for_backward(factor)
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The scaled gradient."""
        (factor,) = ctx.saved_tensors
        return top_gradient * factor, None
