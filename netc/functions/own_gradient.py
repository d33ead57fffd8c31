"""A value with a gradient that is not its derivative, as losses of forks define theirs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class OwnGradient(torch.autograd.Function):
    """`OwnGradient.apply(x, value, gradient)` is `value`, a scalar; its gradient with respect to x is `gradient`.

    >>> x = torch.ones(2, requires_grad=True)
    >>> OwnGradient.apply(x, torch.tensor(7.0), torch.tensor([1.0, -2.0])).backward()
    >>> x.grad
    tensor([ 1., -2.])
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        """The value."""
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The given gradient times that of the value."""
        (gradient,) = ctx.saved_tensors
        return gradient * top_gradient, None, None


def with_gradient(x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    """Return `value`, a scalar computed from x, with the given gradient with respect to x."""
    result: Tensor = OwnGradient.apply(x, value, gradient)  # type: ignore[no-untyped-call]
    return result
