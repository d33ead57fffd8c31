"""Convolution and transposed convolution over any number of spatial axes; torch supports one to three.

Without spatial axes a window is one element. With more than three, the first spatial axis is folded into the batch, and
the results are summed over its kernel positions, each a convolution over the remaining axes. Tensors are
(n, c, *spatial).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netc.layers._windows import Extents, convolved, deconvolved

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """Kernel, stride, pad and dilation, one extent for each spatial axis."""

    kernel: Extents
    stride: Extents
    pad: Extents
    dilation: Extents

    @property
    def first(self) -> Extents:
        """Kernel, stride, pad and dilation of the first spatial axis."""
        return self.kernel[0], self.stride[0], self.pad[0], self.dilation[0]

    @property
    def rest(self) -> Windows:
        """The windows without the first spatial axis."""
        return Windows(self.kernel[1:], self.stride[1:], self.pad[1:], self.dilation[1:])


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, windows: Windows, group: int) -> Tensor:
    """Convolution; `weight` is (outputs, c / group, *kernel)."""
    import torch.nn.functional as F

    axes = len(windows.kernel)
    if axes == 0:
        return F.conv1d(x.unsqueeze(-1), weight.unsqueeze(-1), bias, groups=group).squeeze(-1)
    if axes <= 3:
        conv: Any = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
        return _tensor(conv(x, weight, bias, windows.stride, windows.pad, windows.dilation, group))
    kernel, stride, pad, dilation = windows.first
    padded = F.pad(x, (0, 0) * (axes - 1) + (pad, pad))
    count = convolved(x.shape[2], *windows.first)
    top: Tensor | None = None
    for position in range(kernel):
        start = position * dilation
        taken = padded[:, :, start : start + (count - 1) * stride + 1 : stride]
        part = _folded(taken, lambda y, k=position: convolve(y, weight[:, :, k], None, windows.rest, group))  # type: ignore[misc]
        top = part if top is None else top + part
    assert top is not None, "a kernel has at least one position"
    return _biased(top, bias)


def deconvolve(x: Tensor, weight: Tensor, bias: Tensor | None, windows: Windows, group: int) -> Tensor:
    """Transposed convolution; `weight` is (c, outputs / group, *kernel)."""
    import torch.nn.functional as F

    axes = len(windows.kernel)
    if axes == 0:
        return F.conv_transpose1d(x.unsqueeze(-1), weight.unsqueeze(-1), bias, groups=group).squeeze(-1)
    if axes <= 3:
        conv: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
        return _tensor(conv(x, weight, bias, windows.stride, windows.pad, 0, group, windows.dilation))
    kernel, stride, pad, dilation = windows.first
    extent = x.shape[2]
    whole = deconvolved(extent, kernel, stride, 0, dilation)
    top: Tensor | None = None
    for position in range(kernel):
        part = _folded(x, lambda y, k=position: deconvolve(y, weight[:, :, k], None, windows.rest, group))  # type: ignore[misc]
        if top is None:
            top = part.new_zeros((*part.shape[:2], whole, *part.shape[3:]))
        start = position * dilation
        top[:, :, start : start + (extent - 1) * stride + 1 : stride] += part
    assert top is not None, "a kernel has at least one position"
    return _biased(top.narrow(2, pad, deconvolved(extent, *windows.first)), bias)


def _folded(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `function` with the first spatial axis folded into the batch."""
    n, c, extent = x.shape[:3]
    top = function(x.transpose(1, 2).reshape(n * extent, c, *x.shape[3:]))
    return top.reshape(n, extent, *top.shape[1:]).transpose(1, 2)


def _biased(top: Tensor, bias: Tensor | None) -> Tensor:
    return top if bias is None else top + bias.reshape(-1, *[1] * (top.dim() - 2))


def _tensor(value: Any) -> Tensor:
    tensor: Tensor = value
    return tensor
