"""Places of planes moved to the batch axis and back: SpaceToBatch, BatchToSpace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from netc.ir.dims import text
from netc.ir.layer import Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer, check_axes
from netc.layers._operators import operator
from netc.layers.operators._windows import Extents, order_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _SpaceBatch(OperatorLayer):
    """What both operators share."""

    block_size: int = 2
    """Height and width of the blocks whose places are moved."""
    pads: Extents = (0, 0, 0, 0)
    """[t, l, b, r]"""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Caffe2 reads `pad` for all sides but the top, which `pad_t` overrides. Raises NetcError E101, E103."""
        if order_of(operator) != "NCHW":
            operator.fail(f"`{operator.type}` supports the order `NCHW` only", "order", code="E101")
        block = operator.integer("block_size", 2)
        if block < 1:
            operator.fail(f"`block_size` is {block}, expected a positive number", "block_size")
        pad = operator.integer("pad")
        return cls(block, (operator.integer("pad_t", pad), pad, pad, pad))


@operator("SpaceToBatch")
@dataclass(frozen=True)
class SpaceToBatch(_SpaceBatch):
    """The planes of the elements at each place of a block, after padding with zeros, as items of the batch.

    Shapes: (n, c, h, w) to (k k n, c, (t + h + b) / k, (l + w + r) / k), for blocks of k x k; the place is the slow
    part of the batch axis.

    >>> SpaceToBatch().infer(((1, 3, 4, 6),), 1)
    ((4, 3, 2, 3),)

    Reference: `space_batch_op.h`.
    """

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for planes that cannot be divided into blocks."""
        (x,) = bottoms
        check_axes(self.type, x, 4)
        n, c, height, width = x
        top, left, bottom, right = self.pads
        padded = height + top + bottom, width + left + right
        if any(extent % self.block_size or extent < 0 for extent in padded):
            fail(f"planes of {text(padded)} cannot be divided into blocks of {self.block_size}", field="input")
        return ((n * self.block_size**2, c, *(extent // self.block_size for extent in padded)),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        top, left, bottom, right = self.pads
        x = F.pad(bottoms[0], (left, right, top, bottom))
        (n, c, height, width), block = x.shape, self.block_size
        places = x.reshape(n, c, height // block, block, width // block, block).permute(3, 5, 0, 1, 2, 4)
        return places.reshape(block * block * n, c, height // block, width // block)


@operator("BatchToSpace")
@dataclass(frozen=True)
class BatchToSpace(_SpaceBatch):
    """The inverse of SpaceToBatch: items of the batch as places of blocks, then the pads cut off.

    Items beyond a multiple of the block's places overwrite those at one row of blocks below, as in Caffe2.

    Shapes: (n, c, h, w) to (n / (k k), c, k h - t - b, k w - l - r), for blocks of k x k.

    >>> BatchToSpace().infer(((4, 3, 2, 3),), 1)
    ((1, 3, 4, 6),)

    Reference: `space_batch_op.h`.
    """

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for fewer items than a block has places, and for pads greater than the planes."""
        (x,) = bottoms
        check_axes(self.type, x, 4)
        n, c, height, width = x
        block, (top, left, bottom, right) = self.block_size, self.pads
        if n < block * block:
            fail(f"a batch of {n} has fewer items than the {block * block} places of a block", field="input")
        y = height * block - top - bottom, width * block - left - right
        if any(extent < 0 for extent in y):
            fail(f"the output would have the extents {text(y)}", field="input")
        return ((n // (block * block), c, *y),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        (x,), block = bottoms, self.block_size
        c, height, width = x.shape[1:]
        n = x.shape[0] // (block * block)
        places = x[: block * block * n].reshape(block, block, n, c, height, width)
        y = places.permute(2, 3, 4, 0, 5, 1).reshape(n, c, height * block, width * block)
        top, left, bottom, right = self.pads
        if x.shape[0] > block * block * n:
            y = self._with_rest(y, x, n)
        return F.pad(y, (-left, -right, -top, -bottom))

    def _with_rest(self, y: Tensor, x: Tensor, n: int) -> Tensor:
        """The output before the crop, with the items whose place is in a row beyond the block."""
        import torch.nn.functional as F

        block, rows = self.block_size, y.shape[2]
        y = F.pad(y, (0, 0, 0, x.shape[0] // n // block))
        for index in range(block * block * n, x.shape[0]):
            row, column = index // n // block, index // n % block
            y[index % n, :, row : row + rows : block, column::block] = x[index]
        return y[:, :, :rows]
