"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.layer import Layer, Mode, Shapes, fail
from netc.ir.traits import Role, Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor, nn


@register("Dropout", field="dropout_param", v1="DROPOUT")
@dataclass(frozen=True)
class Dropout(Layer):
    """In training sets elements to 0 at random and multiplies the others by 1 / (1 - ratio); else does nothing.

    Without `scale_train` the others stay as they are in training, and in test all are multiplied by 1 - ratio.

    Shapes: any, kept.

    >>> Dropout(dropout_ratio=0.3).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `dropout_layer.cpp`, also of Fast R-CNN's and SegNet's Caffe; Srivastava et al., Dropout, 2014; Kendall
    et al., Bayesian SegNet, 2015.
    """

    dropout_ratio: float = 0.5
    """The chance of an element to be set to 0."""
    scale_train: bool = True
    """False scales in test, instead of in training (Fast R-CNN's Caffe)."""
    sample_weights_test: bool = False
    """Do in test what is done in training (SegNet's Caffe)."""

    in_place = True
    role: ClassVar[Role] = "inner"
    keeps_sign: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @property
    def overwritable(self) -> bool:  # type: ignore[override]
        """BVLC's passes its bottom on in test."""
        return not self.scale_train or self.sample_weights_test

    @property
    def is_identity_in_test(self) -> bool:  # type: ignore[override]
        """BVLC's; that of some forks scales or drops in test."""
        return not self.dropout_ratio or (self.scale_train and not self.sample_weights_test)

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a ratio that leaves nothing or is no chance; 0 drops nothing."""
        if not 0 <= self.dropout_ratio < 1:
            fail(
                f"`dropout_ratio` is {self.dropout_ratio:g}: it must be at least 0 and below 1",
                code="E103",
                field="dropout_ratio",
            )

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Dropout, where it is BVLC's."""
        from torch import nn

        return nn.Dropout(self.dropout_ratio) if self.scale_train and not self.sample_weights_test else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """See the class."""
        import torch
        import torch.nn.functional as F

        drops = mode.training or self.sample_weights_test
        if self.scale_train:
            return F.dropout(bottoms[0], self.dropout_ratio, drops)
        if not drops:
            return bottoms[0] * (1 - self.dropout_ratio)
        return bottoms[0] * (torch.rand_like(bottoms[0]) >= self.dropout_ratio)
