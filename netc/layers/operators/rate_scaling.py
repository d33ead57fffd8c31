"""Scaling of learning rates and of gradients by their norms: Lars, LearningRateAdaption, ClipTensorByScaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product
from netc.ir.layer import Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer
from netc.layers._operators import operator
from netc.layers.operators._updates import Update, check_single, without_gradient

if TYPE_CHECKING:
    from torch import Tensor


@operator("Lars")
@dataclass(frozen=True)
class Lars(Update):
    """trust / (|g| / |w| + weight decay + offset), at most lr_max and at least `lr_min`; 1, so limited, if |w| is 0.

    Shapes: w and g of the same size; weight decay, trust and lr_max of one element to (1).

    Reference: `lars_op.h`, `lars_op.cc`.
    """

    offset: float = 0.5
    lr_min: float = 0.02

    bottom_count: ClassVar[Count] = Count(5)
    top_count: ClassVar[Count] = Count(1)
    alike: ClassVar[tuple[int, ...]] = (0, 1)
    single: ClassVar[tuple[int, ...]] = (2, 3, 4)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for a negative argument."""
        found = super().from_caffe2(operator)
        for name in ("offset", "lr_min"):
            if getattr(found, name) < 0:
                operator.fail(f"`{name}: {getattr(found, name):g}` is negative", name)
        return found

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """One element. Raises NetcError E102 as `Update.infer` does."""
        super().infer(bottoms, tops)
        return ((1,),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch

        parameter, gradient, decay, trust, highest = (without_gradient(bottom).flatten() for bottom in bottoms)
        norm = parameter.square().sum().sqrt().reshape(1)
        ratio = gradient.square().sum().sqrt() / norm
        rate = torch.where(norm > 0, trust / (ratio + decay + self.offset), torch.ones_like(norm))
        return (torch.minimum(rate, highest).clamp_min(self.lr_min),)


@operator("LearningRateAdaption")
@dataclass(frozen=True)
class LearningRateAdaption(Update):
    """The learning rate, changed by the product of gradient and effective gradient e.

    lr (1 - lr_alpha g.e / (|g| |e|)), norms at least 1e-12; lr - lr_alpha g.e without `normalized_lr_adaption`.

    Shapes: lr of one element, g and e of the same size to lr.

    Reference: `learning_rate_adaption_op.h`.
    """

    lr_alpha: float = 0.01
    normalized_lr_adaption: bool = True

    bottom_count: ClassVar[Count] = Count(3)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    alike: ClassVar[tuple[int, ...]] = (1, 2)
    single: ClassVar[tuple[int, ...]] = (0,)
    shaped: ClassVar[tuple[int, ...]] = (0,)

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The new learning rate."""
        rate, gradient, effective = inputs
        product = (gradient * effective).sum()
        if not self.normalized_lr_adaption:
            return (rate - self.lr_alpha * product,)
        norms = [x.square().sum().sqrt().clamp_min(1e-12) for x in (gradient, effective)]
        return (rate * (1 - self.lr_alpha * product / (norms[0] * norms[1])),)


@operator("ClipTensorByScaling")
@dataclass(frozen=True)
class ClipTensorByScaling(OperatorLayer):
    """X t / v where the norm v exceeds the threshold t, else X. A third input multiplies `threshold`.

    Caffe2 multiplies the threshold by the third input again in every run of the operator; here each run starts from the
    argument.

    Shapes: X, v of one element, and a factor of one element to X.

    Reference: `clip_tensor_op.h`.
    """

    threshold: float = 0.0

    bottom_count: ClassVar[Count] = Count(2, 3)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for a threshold that is not positive."""
        found = super().from_caffe2(operator)
        if not found.threshold > 0:
            operator.fail(f"`threshold: {found.threshold:g}` is not positive", "threshold")
        return found

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The shape of X. Raises NetcError E102 for an X without elements, or another input that is not one number."""
        if product(bottoms[0]) == 0:
            fail(f"input 0 of `{self.type}` has no elements", field="input")
        check_single(self.type, bottoms, range(1, len(bottoms)))
        return bottoms[:1]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        norm = bottoms[1].flatten()[0]
        limit = torch.full_like(norm, self.threshold)
        if len(bottoms) > 2:
            limit = limit * bottoms[2].flatten()[0]
        return bottoms[0] * torch.where(norm > limit, limit / norm, torch.ones_like(norm))
