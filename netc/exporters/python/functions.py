"""Functions in plain torch that a written file gets a copy of where torch has no operation of Caffe's meaning.

Each stands alone: it may use `torch`, `F` (torch.nn.functional) and `Tensor` only, as its source is copied.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

Pair = tuple[int, int]


def windows(extent: int, kernel: int, stride: int, pad: int, floor: bool, clip: bool) -> tuple[int, int]:
    """How many windows Caffe pools along an axis, and how many elements are missing behind it for the last one."""
    span = extent + 2 * pad - kernel
    count = (span // stride if floor else -(-span // stride)) + 1
    if clip and (count - 1) * stride >= extent + pad:
        count -= 1
    return count, max(0, (count - 1) * stride + kernel - extent - pad)


def max_pool(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, floor: bool) -> Tensor:
    """Caffe's maximum pooling: windows are rounded up, and a last one may lie outside."""
    clip = max(pad) > 0
    (_, below), (_, right) = (windows(x.shape[2 + i], kernel[i], stride[i], pad[i], floor, clip) for i in (0, 1))
    padded = F.pad(x, (pad[1], right, pad[0], below), value=max(-3.4028234663852886e38, torch.finfo(x.dtype).min))
    return F.max_pool2d(padded, kernel, stride)


def average_pool(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, floor: bool) -> Tensor:
    """Caffe's average pooling: padding counts, what lies beyond it does not."""
    clip = max(pad) > 0
    sizes = [windows(x.shape[2 + i], kernel[i], stride[i], pad[i], floor, clip) for i in (0, 1)]
    padded = F.pad(x, (pad[1], sizes[1][1], pad[0], sizes[0][1]))
    total = F.avg_pool2d(padded, kernel, stride, divisor_override=1)
    lengths = []
    for i in (0, 1):
        start = torch.arange(sizes[i][0], device=x.device) * stride[i] - pad[i]
        lengths.append(((start + kernel[i]).clamp(max=x.shape[2 + i] + pad[i]) - start).to(x.dtype))
    return total / (lengths[0].unsqueeze(1) * lengths[1])


def local_response_within(x: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """Each element by a power of the mean of squares in a square window of its plane."""
    mean = F.avg_pool2d(x.square(), size, stride=1, padding=size // 2, count_include_pad=True)
    return x * (1 + alpha * mean).pow(-beta)


def mean_variance(x: Tensor, axes: list[int], eps: float) -> Tensor:
    """Zero mean and unit deviation over `axes`."""
    centred = x - x.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True).sqrt() + eps)
