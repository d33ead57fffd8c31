"""Normalization of channels by the moments of a batch, for the forms of BatchNorm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from netc.ir.layer import Mode


class Moments(NamedTuple):
    """The moments of a batch, without gradient."""

    mean: Tensor
    variance: Tensor
    """Unbiased; 0 for one element per channel, where torch divides 0 by 0."""
    elements: float | Tensor
    """Elements per channel."""

    @property
    def biased(self) -> Tensor:
        """The mean of the squared differences from the mean."""
        return self.variance * ((self.elements - 1) / self.elements)


def normalized(
    x: Tensor, factor: Tensor | None, addend: Tensor | None, like: Tensor, eps: float, mode: Mode
) -> tuple[Tensor, Moments]:
    """Return the batch normalized by its moments, and these; `like` has one element per channel, axis 1.

    In a training with several processes that share moments, they are those of all batches together.
    """
    if mode.training and mode.all_sum is not None:
        return _by_all_batches(mode.all_sum, x, factor, addend, eps)
    return _by_batch(x, factor, addend, like, eps)


def _by_batch(
    x: Tensor, factor: Tensor | None, addend: Tensor | None, like: Tensor, eps: float
) -> tuple[Tensor, Moments]:
    """Torch computes the moments once for both: with a momentum of 1 it replaces its running statistics with them."""
    import torch

    mean, variance = torch.zeros_like(like), torch.zeros_like(like)
    top = torch.batch_norm(x, factor, addend, mean, variance, True, 1.0, eps, torch.backends.cudnn.enabled)
    if x.numel() == x.shape[1]:
        variance.zero_()
    return top, Moments(mean, variance, x.numel() / x.shape[1])


def _by_all_batches(
    all_sum: Callable[[Tensor], Tensor], x: Tensor, factor: Tensor | None, addend: Tensor | None, eps: float
) -> tuple[Tensor, Moments]:
    """Normalize by the batches of all processes together, of any sizes.

    Two sums are reduced: of the elements, then of squared differences from the mean, which lose less precision
    than a sum of squares.
    """
    import torch

    wide, axes = x.float(), [0, *range(2, x.dim())]
    per_channel = (1, -1, *[1] * (x.dim() - 2))
    sums = all_sum(torch.cat([wide.sum(axes), wide.new_full((1,), x.numel() / x.shape[1])]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    difference = wide - mean.view(per_channel)
    squares = all_sum((difference * difference).sum(axes))
    scale = (squares / count + eps).rsqrt()
    top = difference * (scale if factor is None else scale * factor).view(per_channel)
    if addend is not None:
        top = top + addend.view(per_channel)
    return top.to(x.dtype), Moments(mean.detach(), squares.detach() / (count - 1).clamp(min=1), count)
