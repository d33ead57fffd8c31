"""Arithmetic on lists of tensors that several rules share."""

from __future__ import annotations

import torch
from torch import Tensor

Tensors = list[Tensor]


def divide(numerators: Tensors, squares: Tensors, delta: float, rate: float) -> Tensors:
    """Return rate a / (√b + delta) for each pair."""
    result = torch._foreach_sqrt(squares)
    torch._foreach_add_(result, delta)
    torch._foreach_reciprocal_(result)
    torch._foreach_mul_(result, numerators)
    torch._foreach_mul_(result, rate)
    return list(result)


def aligned(tensors: Tensors, like: Tensors) -> Tensors:
    """Return `tensors` in the memory layouts of `like`: fused kernels use only addresses."""
    return [
        tensor if tensor.stride() == model.stride() else torch.empty_like(model).copy_(tensor)
        for tensor, model in zip(tensors, like)
    ]
