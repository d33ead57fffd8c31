"""Normalization of channels by given moments, with the gradient that forks of Caffe compute in the test phase."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class FixedMoments(torch.autograd.Function):
    """`FixedMoments.apply(x, factor, addend, mean, variance, eps)`: channels are axis 1.

    The backward pass treats the moments as those of the batch (`bn_layer.cpp` of PSPNet, Backward_cpu): with
    d = dy factor and z = (x - mean) / deviation, it is (d - mean(d) - z mean(d z)) / deviation.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, factor: Tensor, addend: Tensor, mean: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        """The normalized batch."""
        shape = (1, -1, *[1] * (x.dim() - 2))
        scale = (variance + eps).rsqrt().view(shape)
        normalized = (x - mean.view(shape)) * scale
        ctx.save_for_backward(normalized, scale, factor)
        return normalized * factor.view(shape) + addend.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x, factor and addend."""
        normalized, scale, factor = ctx.saved_tensors
        axes = [0, *range(2, normalized.dim())]
        along = top_gradient * normalized
        inner = top_gradient - top_gradient.mean(axes, keepdim=True)
        inner = inner - normalized * along.mean(axes, keepdim=True)
        return inner * (scale * factor.view(scale.shape)), along.sum(axes), top_gradient.sum(axes), None, None, None
