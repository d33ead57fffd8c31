"""Functions in plain torch that a written file gets a copy of where torch has no operation of Caffe's meaning.

Each stands alone: it may use `torch`, `F` (torch.nn.functional) and `Tensor` only, as its source is copied.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

Pair = tuple[int, int]


def windows(extent: int, kernel: int, stride: int, pad: int, floor: bool, clip: bool) -> tuple[int, int]:
    """How many windows Caffe pools along an axis, and how many elements are missing after it for the last one."""
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
    centered = x - x.mean(axes, keepdim=True)
    return centered / (centered.square().mean(axes, keepdim=True).sqrt() + eps)


def max_pool_with_mask(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, floor: bool) -> tuple[Tensor, Tensor]:
    """Caffe's maximum pooling, and where in its plane each maximum stands; -1 for windows that lie outside."""
    clip = max(pad) > 0
    (_, below), (_, right) = (windows(x.shape[2 + i], kernel[i], stride[i], pad[i], floor, clip) for i in (0, 1))
    padded = F.pad(x, (pad[1], right, pad[0], below), value=max(-3.4028234663852886e38, torch.finfo(x.dtype).min))
    top, place = F.max_pool2d(padded, kernel, stride, return_indices=True)
    row, column = place // padded.shape[3] - pad[0], place % padded.shape[3] - pad[1]
    inside = (row >= 0) & (row < x.shape[2]) & (column >= 0) & (column < x.shape[3])
    return top, torch.where(inside, row * x.shape[3] + column, -1).float()


def arg_max(x: Tensor, axis: int, count: int) -> tuple[Tensor, Tensor]:
    """Where the `count` largest stand along an axis, and these, the largest first; of equals the last first."""
    values, places = x.float().flip(axis).sort(dim=axis, descending=True, stable=True)
    return (x.shape[axis] - 1 - places.narrow(axis, 0, count)).float(), values.narrow(axis, 0, count)


def lstm_unit(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """New cells and outputs; the last axis of `gates` holds i, f, o and g, `cont` is 0 where a sequence starts."""
    i, f, o, g = gates.chunk(4, -1)
    c = cont.unsqueeze(-1) * f.sigmoid() * c + i.sigmoid() * g.tanh()
    return c, o.sigmoid() * c.tanh()


def lstm(
    given: Tensor, cont: Tensor, weight: Tensor, h: Tensor | None = None, c: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (t, n, units) and the last states; `given` (t, n, 4 units) is what the inputs add to the gates."""
    h = given.new_zeros(given.shape[1], weight.shape[1]) if h is None else h[0]
    c = torch.zeros_like(h) if c is None else c[0]
    outputs = []
    for step, going_on in zip(given, cont):
        c, h = lstm_unit(c, step + F.linear(h * going_on.unsqueeze(1), weight), going_on)
        outputs.append(h)
    return torch.stack(outputs), h.unsqueeze(0), c.unsqueeze(0)


def rnn(
    given: Tensor, cont: Tensor, weight: Tensor, out: Tensor, bias: Tensor, h: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Outputs (t, n, units) and the last state; `given` (t, n, units) is what the inputs add to the hidden units."""
    h = given.new_zeros(given.shape[1], weight.shape[1]) if h is None else h[0]
    hidden = []
    for step, going_on in zip(given, cont):
        h = (step + F.linear(h * going_on.unsqueeze(1), weight)).tanh()
        hidden.append(h)
    return F.linear(torch.stack(hidden), out, bias).tanh(), h.unsqueeze(0)
