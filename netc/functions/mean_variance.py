"""Mean and variance normalization of rows: y = (x - mean) / (deviation + eps)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class MeanVariance(torch.autograd.Function):
    """`MeanVariance.apply(x, eps)` normalizes each row of a matrix.

    The backward pass is Caffe's (`mvn_layer.cpp`): (dy - mean(dy) - y mean(dy y)) / (deviation + eps). It treats
    eps as part of the deviation, so its last term differs from the true derivative by about eps / deviation, and
    it is finite for a constant row.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        """The normalized rows."""
        variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
        divisor = variance.sqrt_().add_(eps)
        top = (x - mean).div_(divisor)
        ctx.save_for_backward(top, divisor)
        return top

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient of x; none for eps."""
        top, divisor = ctx.saved_tensors
        along = (top_gradient * top).mean(1, keepdim=True)
        gradient = top_gradient - top_gradient.mean(1, keepdim=True)
        return gradient.addcmul_(top, along, value=-1).div_(divisor), None
