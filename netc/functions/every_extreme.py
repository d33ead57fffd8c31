"""Maxima and minima whose gradient goes to every element that equals the result, as in Caffe2.

torch divides it among them (`amax`), or gives half of it to each of two (`maximum`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class EveryExtreme(torch.autograd.Function):
    """`EveryExtreme.apply(y, *xs)` is y, an extreme of the tensors xs, each of which y can be broadcast to."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, *xs: Tensor) -> Tensor:
        """The extreme itself."""
        ctx.save_for_backward(y, *xs)
        return y.view_as(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """To each x the gradient of y where x equals it."""
        y, *xs = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        return None, *((top_gradient * (x == y)) if need else None for x, need in zip(xs, needed))


def to_every(y: Tensor, *xs: Tensor) -> Tensor:
    """Return y, computed from xs without gradient; the gradient of each x is that of y where x equals y.

    >>> x = torch.tensor([3.0, 1.0, 3.0], requires_grad=True)
    >>> to_every(x.detach().amax(0, keepdim=True), x).sum().backward()
    >>> x.grad
    tensor([1., 0., 1.])
    """
    if not (torch.is_grad_enabled() and any(x.requires_grad for x in xs)):
        return y
    result: Tensor = EveryExtreme.apply(y, *xs)  # type: ignore[no-untyped-call]
    return result
