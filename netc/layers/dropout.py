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


def check_ratio(ratio: float) -> None:
    """Raise NetcError E103 unless a `dropout_ratio` is at least 0 and less than 1."""
    if not 0 <= ratio < 1:
        fail(f"`dropout_ratio` is {ratio:g}: it must be at least 0 and below 1", code="E103", field="dropout_ratio")


@register("Dropout", field="dropout_param", v1="DROPOUT")
@dataclass(frozen=True)
class Dropout(Layer):
    """In training, sets random elements to 0 and multiplies the others by 1 / (1 - ratio); in test, the identity.

    Without `scale_train` the others are unchanged in training, and in test all are multiplied by 1 - ratio.

    Shapes: any, kept.

    >>> Dropout(dropout_ratio=0.3).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `dropout_layer.cpp`, also of Fast R-CNN's and SegNet's Caffe; Srivastava et al., Dropout, 2014; Kendall
    et al., Bayesian SegNet, 2015.
    """

    dropout_ratio: float = 0.5
    """The probability that an element is set to 0."""
    scale_train: bool = True
    """Whether to scale in training; if false, elements are scaled in test instead (Fast R-CNN's Caffe)."""
    sample_weights_test: bool = False
    """Whether to drop elements in test as well (SegNet's Caffe)."""

    in_place = True
    role: ClassVar[Role] = "inner"
    keeps_sign: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @property
    def overwritable(self) -> bool:  # type: ignore[override]
        """BVLC's layer returns its bottom in test."""
        return not self.scale_train or self.sample_weights_test

    @property
    def is_identity_in_test(self) -> bool:  # type: ignore[override]
        """True for BVLC's layer; in some forks it scales or drops elements in test."""
        return not self.dropout_ratio or (self.scale_train and not self.sample_weights_test)

    def __post_init__(self) -> None:
        """Raises NetcError E103 unless the ratio is at least 0 and less than 1; 0 drops nothing."""
        check_ratio(self.dropout_ratio)

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Dropout for BVLC's layer."""
        from torch import nn

        return nn.Dropout(self.dropout_ratio) if self.scale_train and not self.sample_weights_test else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch
        import torch.nn.functional as F

        drops = mode.training or self.sample_weights_test
        if self.scale_train:
            return F.dropout(bottoms[0], self.dropout_ratio, drops)
        if not drops:
            return bottoms[0] * (1 - self.dropout_ratio)
        return bottoms[0] * (torch.rand_like(bottoms[0]) >= self.dropout_ratio)
