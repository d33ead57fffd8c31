"""SSD's normalization: y = scale x / n, n = sqrt(eps + sum of x ** 2), with the gradient of `normalize_layer.cpp`.

With u = x / n it is dx = scale (dy - u (sum of u dy)) / n. For one scale of all channels this is the derivative; with a
scale for each channel the derivative has scale dy in the sum, but SSD's nets were trained with dy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class ScaledNorm(torch.autograd.Function):
    """`ScaledNorm.apply(x, scale, axes, eps)`: sums over `axes`; `scale` is broadcast to x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
        """The normalized and scaled tensor, with x's shape."""
        factor = x.square().sum(axes, keepdim=True).add_(eps).rsqrt_()
        unit = x * factor
        ctx.save_for_backward(unit, factor, scale)
        ctx.axes = axes
        return unit * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x and of the scale."""
        unit, factor, scale = ctx.saved_tensors
        products = unit * top_gradient
        along = products.sum(ctx.axes, keepdim=True)
        gradient = (top_gradient - unit * along).mul_(factor).mul_(scale) if ctx.needs_input_grad[0] else None
        return gradient, products.sum_to_size(scale.shape), None, None
