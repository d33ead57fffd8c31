"""Maxima of windows whose gradient goes to every element that equals the maximum, as in Caffe2."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

_POOLS = (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)


class TiedMaximum(torch.autograd.Function):
    """`TiedMaximum.apply(x, kernel, stride, pads, up)`: max pooling of x, (n, c, *spatial).

    `pads` are symmetric, one per axis; `up` says whether the number of windows is rounded up.

    >>> x = torch.ones(1, 1, 3, requires_grad=True)
    >>> TiedMaximum.apply(x, (2,), (1,), (0,), False).sum().backward()
    >>> x.grad
    tensor([[[1., 2., 1.]]])
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Sequence[int], stride: Sequence[int], pads: Sequence[int], up: bool
    ) -> Tensor:
        """The maxima."""
        y = max_pool(x, kernel, stride, pads, up)
        ctx.save_for_backward(x, y)
        ctx.windows = kernel, stride, pads
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x."""
        x, y = ctx.saved_tensors
        kernel, stride, pads = ctx.windows
        counts, axes = y.shape[2:], len(kernel)
        reached = [max((n - 1) * s + k, e + p) for n, s, k, e, p in zip(counts, stride, kernel, x.shape[2:], pads)]
        blocks = [-(-extent // step) for extent, step in zip(reached, stride)]
        # elements whose distance is a multiple of the stride are moved together: memory is then read in order
        sizes = [size for pair in zip(blocks, stride) for size in pair]
        order = [*range(3, 3 + 2 * axes, 2), 0, 1, *range(2, 2 + 2 * axes, 2)]
        ends = [size * step - e - p for size, step, e, p in zip(blocks, stride, x.shape[2:], pads)]
        margins = [margin for pair in zip(reversed(pads), reversed(ends)) for margin in pair]
        padded = functional.pad(x, margins, value=-torch.inf) if any(margins) else x
        phases = padded.reshape(*x.shape[:2], *sizes).permute(order).contiguous()
        gradient, equal = torch.zeros_like(phases), torch.empty_like(y)
        for offset in itertools.product(*map(range, kernel)):
            phase = tuple(o % s for o, s in zip(offset, stride))
            at: Any = (*phase, ..., *(slice(o // s, o // s + n) for o, s, n in zip(offset, stride, counts)))
            gradient[at].addcmul_(torch.eq(phases[at], y, out=equal), top_gradient)
        back = [order.index(axis) for axis in range(len(order))]
        whole = gradient.permute(back).reshape(padded.shape)
        inner: Any = (..., *(slice(p, p + e) for p, e in zip(pads, x.shape[2:])))
        return whole[inner], None, None, None, None


class TiedGlobalMaximum(torch.autograd.Function):
    """`TiedGlobalMaximum.apply(x)`: the maximum of each channel of x, (n, c, *spatial), spatial axes kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The maxima."""
        y = x.amax(tuple(range(2, x.dim())), keepdim=True)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> Tensor:
        """The gradient of x."""
        x, y = ctx.saved_tensors
        return torch.where(x == y, top_gradient, 0)


def max_pool(x: Tensor, kernel: Sequence[int], stride: Sequence[int], pads: Sequence[int], up: bool) -> Tensor:
    """Max pooling over one to three axes; the arguments are those of `TiedMaximum`."""
    pool: Any = _POOLS[len(kernel) - 1]
    y: Tensor = pool(x, kernel, stride, pads, 1, up)
    return y
