"""Transpose: the axes of a blob in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.diagnostics import counted
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Transpose", dialect="ctpn", field="transpose_param")
@dataclass(frozen=True)
class Transpose(Layer):
    """Reorders the axes: axis i of the top is axis `dim[i]` of the bottom.

    Shapes: with `dim` 2, 0, 1: (a, b, c) to (c, a, b).

    >>> Transpose(dim=(2, 0, 1)).infer(((4, 3, 5),), 1)
    ((5, 4, 3),)

    Reference: `transpose_layer.cpp` of CTPN's and caffe_ocr's Caffe.
    """

    dim: tuple[int, ...] = ()
    """The bottom's axis at each axis of the top; every axis once."""

    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"

    def __post_init__(self) -> None:
        """Raises NetcError E103 unless `dim` holds every axis once."""
        if sorted(self.dim) != list(range(len(self.dim))):
            axes = " ".join(map(str, self.dim))
            fail(f"`dim` is {axes}: it must contain each axis from 0 exactly once", code="E103", field="dim")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless `dim` has one entry for each axis of the bottom."""
        (shape,) = bottoms
        if len(self.dim) != len(shape) or not shape:
            fail(f"{counted(len(self.dim), 'entry')} in `dim` for {counted(len(shape), 'axis')}", field="dim")
        return (tuple(shape[axis] for axis in self.dim),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A copy in the order of the top."""
        import torch

        return bottoms[0].permute(self.dim).clone(memory_format=torch.contiguous_format)
