"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.ir.layer import Layer, Mode, Shapes, fail
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor, nn


@register("Dropout", field="dropout_param", v1="DROPOUT", caffe2=("Dropout",))
@dataclass(frozen=True)
class Dropout(Layer):
    """In training sets elements to 0 at random and multiplies the others by 1 / (1 - ratio); else does nothing.

    Shapes: any, kept.

    >>> Dropout(dropout_ratio=0.3).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `dropout_layer.cpp`; Srivastava et al., Dropout, 2014.
    """

    dropout_ratio: float = 0.5
    """The chance of an element to be set to 0."""

    in_place = True

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a ratio that leaves nothing or is no chance; 0 drops nothing."""
        if not 0 <= self.dropout_ratio < 1:
            fail(
                f"`dropout_ratio` is {self.dropout_ratio:g}: it must be at least 0 and below 1",
                code="E103",
                field="dropout_ratio",
            )

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Dropout."""
        from torch import nn

        return nn.Dropout(self.dropout_ratio)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """See the class."""
        import torch.nn.functional as F

        return F.dropout(bottoms[0], self.dropout_ratio, mode.training)
