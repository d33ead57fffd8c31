"""Integer arithmetic of QNNPACK: what Caffe2's Int8 operators compute on x86 processors.

Values are int64 tensors here. A scale is a float32 number, split into a multiplier and a right shift.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

ROUNDING = 1 << 30


def scaled(values: Tensor, scale: float) -> Tensor:
    """Values times a scale below 1: a product of 31 fractional bits, then shifted; both are rounded.

    >>> scaled(torch.tensor([10, -10, 7, -7]), 0.25)
    tensor([ 3, -3,  2, -2])
    """
    fraction, exponent = math.frexp(scale)
    product = (values * int(fraction * 2**31) + ROUNDING) >> 31
    return shifted(product, -exponent)


def shifted(values: Tensor, shift: int) -> Tensor:
    """Values divided by a power of two, halves rounded away from zero.

    >>> shifted(torch.tensor([5, -5, 6, -6]), 2)
    tensor([ 1, -1,  2, -2])
    """
    mask = (1 << shift) - 1
    remainder = (values & mask) - (values < 0).long()
    return (values >> shift) + (remainder > mask >> 1).long()


def averaged(sums: Tensor, scale: float) -> Tensor:
    """Sums times a scale, halves rounded away from zero.

    >>> averaged(torch.tensor([5, -5, 3]), 0.5)
    tensor([ 3, -3,  2])
    """
    fraction, exponent = math.frexp(scale)
    return shifted(sums * int(fraction * 2**24), 24 - exponent)


def added(first: Tensor, second: Tensor, scales: tuple[float, float]) -> Tensor:
    """The sum of both, each times its scale; multipliers have 22 bits.

    >>> added(torch.tensor([100, 7]), torch.tensor([-20, 3]), (0.5, 0.25))
    tensor([45,  4])
    """
    shift = 22 - math.frexp(max(scales))[1]
    factors = [round(scale * 2**shift) for scale in scales]
    return shifted(first * factors[0] + second * factors[1], shift)


def stored(values: Tensor, zero_point: int, lowest: int = 0) -> Tensor:
    """Values plus the zero point in uint8, between `lowest` and 255."""
    return (values + zero_point).clamp(lowest, 255).to(torch.uint8)


def looked_up(x: Tensor, table: NDArray[np.float32]) -> Tensor:
    """The entries of a table of 256 numbers, in uint8."""
    return torch.from_numpy(table.astype(np.uint8)).to(x.device)[x.long()]


def sigmoid_table(scale: float, zero_point: int) -> NDArray[np.float32]:
    """The sigmoid of each integer, in units of 1 / 256."""
    x = _reals(scale, zero_point)
    found: NDArray[np.float32] = np.rint(256 / (1 + np.exp(-x))).clip(0, 255)
    return found


def leaky_table(slope: float, ratio: float, zero_points: tuple[int, int]) -> NDArray[np.float32]:
    """The leaky rectifier of each integer; `ratio` is the input's scale in units of the output's."""
    x = _reals(ratio, zero_points[0])
    found: NDArray[np.float32] = np.rint((np.where(x < 0, x * np.float32(slope), x) + zero_points[1]).clip(0, 255))
    return found


def softmax(x: Tensor, scale: float) -> Tensor:
    """The softmax of each row of uint8 (rows, n), in units of 1 / 256."""
    largest = min((2**32 - 1) / max(x.shape[1], 1), 8388607.0)
    table = np.rint(largest * np.exp((np.arange(256) - 255.0) * scale)).astype(np.int64)
    powers = torch.from_numpy(table).to(x.device)[x.long() + 255 - x.amax(1, keepdim=True).long()]
    sums = powers.sum(1, keepdim=True)
    return ((powers * 256 + (sums >> 1)) // sums).clamp(max=255).to(torch.uint8)


def _reals(scale: float, zero_point: int) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.float32(scale) * (np.arange(256) - zero_point).astype(np.float32)
    return found
