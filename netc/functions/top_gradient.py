"""Functions whose gradient is computed from their own result, as Caffe2 does for most activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Callable


class TopGradient(torch.autograd.Function):
    """`TopGradient.apply(x, function, gradient)` is function(x); its gradient is `gradient(top gradient, top)`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], gradient: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The result, which backward reads."""
        y = function(x)
        ctx.save_for_backward(y)
        ctx.gradient = gradient
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of x."""
        (y,) = ctx.saved_tensors
        return ctx.gradient(top_gradient, y), None, None


def from_top(x: Tensor, function: Callable[[Tensor], Tensor], gradient: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return function(x), a new tensor, with `gradient(top gradient, function(x))` as the gradient of x.

    >>> x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> from_top(x, lambda x: x.clamp(0), lambda dy, y: dy * (y >= 0)).sum().backward()
    >>> x.grad
    tensor([1., 1., 1.])
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return function(x)
    y: Tensor = TopGradient.apply(x, function, gradient)  # type: ignore[no-untyped-call]
    return y
