"""Local response normalization: y = x scale ** -beta, scale = k + factor * (sum of x ** 2 over a window).

With plain operations autograd keeps five tensors of the input's size and takes several times longer. This
keeps two, x and scale, and follows the closed form of `lrn_layer.cpp` (CrossChannelBackward):
dx = dy scale ** -beta - 2 factor beta x * (sum of dy y / scale over the window).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class LocalResponse(torch.autograd.Function):
    """`LocalResponse.apply(x, size, axes, factor, beta, k)`: windows of `size` elements along each of `axes`.

    A further argument, true, makes it return the scale, too, which has no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        size: int,
        axes: tuple[int, ...],
        factor: float,
        beta: float,
        k: float,
        with_scale: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The normalized tensor, with x's shape."""
        squares = x.square()
        scale = window_sum(squares, size, axes).mul_(factor).add_(k)
        ctx.save_for_backward(x, scale)
        ctx.size, ctx.axes, ctx.factor, ctx.beta = size, axes, factor, beta
        y = _inverse_power(squares.copy_(scale), scale, beta).mul_(x)
        if not with_scale:
            return y
        ctx.mark_non_differentiable(scale)
        return y, scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x; none for the parameters."""
        x, scale = ctx.saved_tensors
        gradient = _inverse_power(scale.clone(), scale, ctx.beta).mul_(top_gradient)
        ratios = window_sum((gradient * x).div_(scale), ctx.size, ctx.axes)
        return gradient.addcmul_(ratios, x, value=-2 * ctx.factor * ctx.beta), *[None] * 6


def window_sum(x: Tensor, size: int, axes: tuple[int, ...]) -> Tensor:
    """Sums over centered windows of odd `size` along each of `axes`, with zeros beyond the ends.

    Uses shifted additions: they avoid the cancellation of a running sum and are several times faster than pooling.

    >>> window_sum(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]), 3, (1,))
    tensor([[  11.,  111., 1110., 1100.]])
    """
    for axis in axes:
        extent, total = x.shape[axis], x.clone()
        for shift in range(1, min(size // 2, extent - 1) + 1):
            total.narrow(axis, 0, extent - shift).add_(x.narrow(axis, shift, extent - shift))
            total.narrow(axis, shift, extent - shift).add_(x.narrow(axis, 0, extent - shift))
        x = total
    return x


def _inverse_power(copy: Tensor, scale: Tensor, beta: float) -> Tensor:
    """Scale ** -beta, computed in `copy`; roots are much cheaper than a power, and most nets use 0.75."""
    return copy.sqrt_().mul_(scale).rsqrt_() if beta == 0.75 else copy.pow_(-beta)
