"""Distance of vectors to the centers of their classes, with the update of centers as their gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class CenterDistance(Function):
    """`CenterDistance.apply(x, centers, labels)` returns half the mean squared distance of x's rows to their centers.

    The gradient of x is the derivative. That of a center is Caffe's (`center_loss_layer.cpp`): the sum of center - row
    over its rows, divided by 1 + their number, and independent of the top's gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, centers: Tensor, labels: Tensor) -> Tensor:
        """The loss."""
        distance = x - centers.index_select(0, labels)
        ctx.save_for_backward(distance, labels)
        ctx.classes = len(centers)
        return distance.square().sum() / (2 * len(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """The gradients of x and of the centers."""
        distance, labels = ctx.saved_tensors
        x_gradient = distance * (top_gradient / len(distance)) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return x_gradient, None, None
        count = distance.new_ones(ctx.classes).index_add_(0, labels, torch.ones_like(distance[:, 0]))
        total = distance.new_zeros(ctx.classes, distance.shape[1]).index_add_(0, labels, distance)
        return x_gradient, total.div_(-count.unsqueeze(1)), None
