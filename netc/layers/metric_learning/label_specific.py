"""LabelSpecificAdd, -Margin and -Rescale: change each item's score for the class of its label, in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, product
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, StateEntry, Weight, Weights, fail
from netc.layers._labels import check_items, check_one_label_an_item, indices
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

EPS = 1e-12
"""Added to the squared sine, whose root has no derivative at 0."""


@dataclass(frozen=True)
class LabelSpecific(Layer):
    """Base of the three: scores (n, classes), labels (n), and an optional second top with the value of this pass."""

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)

    @property
    def changes(self) -> bool:
        """Whether the number of training passes matters."""
        raise NotImplementedError

    def label_classes(self, scores: Shape) -> int | None:
        """The number of scores of an item."""
        return product(scores[1:])

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label for each item."""
        check_items(bottoms)
        check_one_label_an_item(bottoms)
        return (bottoms[0], (1,))[:tops]

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """A few operations per label; the rest is copied."""
        return Cost(operations=10 * bottoms[0][0])

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The number of training passes."""
        return (StateEntry("iteration", (), by_mode=False),) if self.changes else ()

    def _passes(self, first: int, like: Tensor, mode: Mode) -> Tensor:
        """Return the number of passes before this one, and count it."""
        kept = mode.kept("iteration", by_mode=False)
        passes = like.new_full((), float(first)) if kept is None else kept.to(like)
        mode.keep("iteration", passes + 1, by_mode=False)
        return passes

    def _column(self, bottoms: Sequence[Tensor], mode: Mode) -> Tensor:
        scores = bottoms[0].flatten(1)
        return indices(bottoms[1].detach().flatten(), scores.shape[1], mode).unsqueeze(1)


@register("LabelSpecificAdd", dialect="happynear", field="label_specific_add_param")
@dataclass(frozen=True)
class LabelSpecificAdd(LabelSpecific):
    """In training adds `bias` to the score of the label's class where that is greater than -bias.

    With a `bias_base` other than 0 the bias is bias_base + (1 + bias_gamma i)^bias_power - 1 in training pass i, from
    `bias_min` to `bias_max`. The gradient is that of the top.

    Shapes: scores (n, classes) and labels (n) to the scores' shape and optionally the bias (1).

    >>> LabelSpecificAdd(bias=-0.35).infer(((4, 10), (4,)), 1)
    ((4, 10),)

    Reference: `label_specific_add_layer.cpp` of happynear's Caffe; Wang et al., Additive Margin Softmax, 2018.
    """

    bias: float = 0.0
    """What is added."""
    transform_test: bool = False
    """Read, without an effect: the code adds in training alone, and only where this is not set."""
    bias_base: float = 0.0
    """The bias of the first pass, if not 0."""
    bias_gamma: float = 0.0
    """How fast the bias changes."""
    bias_power: float = 1.0
    """Exponent of the change."""
    bias_min: float = -1.0
    """Lower bound of a bias that changes."""
    bias_max: float = 1.0
    """Upper bound of a bias that changes."""
    iteration: int = 0
    """Number of passes before the first."""

    @property
    def changes(self) -> bool:
        """Where the bias changes from pass to pass."""
        return bool(self.bias_base and self.bias_gamma and self.bias_power)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The scores as they are outside training."""
        scores, bias = bottoms[0].flatten(1), bottoms[0].new_full((), self.bias)
        if mode.training:
            if self.bias_base:
                growth = 1 + self.bias_gamma * self._passes(self.iteration, scores, mode) if self.changes else 1.0
                bias = bias.new_zeros(()) + self.bias_base + growth**self.bias_power - 1
                bias = bias.clamp(self.bias_min, self.bias_max)
            column = self._column(bottoms, mode)
            own = scores.detach().gather(1, column)
            scores = scores.scatter_add(1, column, bias.where(own > -bias, 0.0).to(scores.dtype))
        return (scores.reshape(bottoms[0].shape), bias.reshape(1))[: mode.tops]


@register("LabelSpecificMargin", dialect="happynear", field="label_specific_margin_param")
@dataclass(frozen=True)
class LabelSpecificMargin(LabelSpecific):
    """In training enlarges the angle whose cosine is the score of the label's class by a margin in degrees.

    With a `margin_base` other than 0 the margin, which a blob holds, becomes margin_base + (1 + gamma i)^power - 1 in
    training pass i, at most `margin_max` if that is not 0.

    Shapes: cosines (n, classes) and labels (n) to the cosines' shape and optionally the margin (1).

    >>> LabelSpecificMargin(margin_base=10).infer(((4, 10), (4,)), 1)
    ((4, 10),)

    Reference: `label_specific_margin_layer.cpp` of happynear's Caffe.
    """

    margin_base: float = 0.0
    """The margin of the first pass in degrees, if not 0."""
    gamma: float = 0.0
    """How fast the margin grows."""
    power: float = 1.0
    """Exponent of the growth."""
    iteration: int = 0
    """Number of passes before the first."""
    margin_max: float = 0.0
    """The greatest margin; 0 for any."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for a margin that is tuned, in tests, or soft."""
        p = layer.message("label_specific_margin_param")
        for name, only in (("auto_tune", False), ("margin_on_test", False), ("type", "HARD")):
            if p.get(name, only) != only:
                fail(f"`{name}` is supported as {str(only).lower()} only", code="E101", field=name)
        return super().from_caffe(layer)

    @property
    def changes(self) -> bool:
        """Where the margin changes from pass to pass."""
        return bool(self.margin_base and self.gamma and self.power)

    def weights(self, bottoms: Shapes) -> Weights:
        """`margin`, which has no gradient."""
        return (Weight("margin", (1,), Filler(value=self.margin_base)),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The gradient is the derivative."""
        import torch

        scores, margin = bottoms[0].flatten(1), weights[0].detach()
        if mode.training:
            if self.margin_base:
                growth = 1 + self.gamma * self._passes(self.iteration, scores, mode) if self.changes else 1.0
                value = torch.zeros_like(margin) + self.margin_base + growth**self.power - 1
                margin.copy_(value.clamp(max=self.margin_max) if self.margin_max else value)
            column, angle = self._column(bottoms, mode), (margin * (math.pi / 180)).to(scores.dtype)
            cosine = scores.gather(1, column)
            enlarged = cosine * angle.cos() - (1 - cosine.square() + EPS).sqrt() * angle.sin()
            scores = scores.scatter(1, column, enlarged)
        return (scores.reshape(bottoms[0].shape), margin.clone())[: mode.tops]


@register("LabelSpecificRescale", dialect="happynear", field="label_specific_rescale_param")
@dataclass(frozen=True)
class LabelSpecificRescale(LabelSpecific):
    """In training multiplies the score of the label's class by one weight and all others by another.

    With a `gamma` other than 0 the first is positive_weight_base (1 + gamma i)^-power in training pass i, from
    `positive_weight_min` to `positive_weight_max`.

    Shapes: scores (n, classes) and labels (n) to the scores' shape and optionally the first weight (1).

    >>> LabelSpecificRescale(positive_weight=0.5).infer(((4, 10), (4,)), 1)
    ((4, 10),)

    Reference: `label_specific_rescale_layer.cpp` of happynear's Caffe.
    """

    positive_weight: float = 1.0
    """Factor of the label's class."""
    negative_weight: float = 1.0
    """Factor of the others."""
    rescale_test: bool = False
    """Whether it is so outside training too."""
    for_ip: bool = False
    """Whether a negative score of the label's class stays as it is."""
    positive_weight_base: float = 1.0
    """The factor before it changes."""
    gamma: float = 0.0
    """How fast the factor changes; 0 for `positive_weight`."""
    power: float = 1.0
    """Exponent of the change."""
    positive_weight_min: float = 0.0
    """Lower bound of a factor that changes."""
    positive_weight_max: float = 1.0
    """Upper bound of a factor that changes."""
    iteration: int = 0
    """Number of passes before the first."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for weights as powers, with a constant, or bounds of scores."""
        p = layer.message("label_specific_rescale_param")
        for name in ("bias_fix", "power_on_positive"):
            if p.get(name, False):
                fail(f"`{name}` is not supported", code="E101", field=name)
        for name in ("positive_lower_bound", "negative_upper_bound"):
            if name in p:
                fail(f"`{name}` is not supported", code="E101", field=name)
        return super().from_caffe(layer)

    @property
    def changes(self) -> bool:
        """Where the factor changes from pass to pass."""
        return bool(self.gamma and self.power)

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """Where all factors are positive."""
        own = min(self.positive_weight_base, self.positive_weight_max) if self.changes else self.positive_weight
        return own > 0 and self.negative_weight > 0

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The gradient is the derivative, with the weights constant."""
        scores, weight = bottoms[0].flatten(1), bottoms[0].new_full((), self.positive_weight)
        if mode.training and self.changes:
            passes = self._passes(self.iteration, scores, mode)
            weight = self.positive_weight_base * (1 + self.gamma * passes) ** -self.power
            weight = weight.clamp(self.positive_weight_min, self.positive_weight_max)
        if mode.training or self.rescale_test:
            column = self._column(bottoms, mode)
            own = scores.gather(1, column)
            scaled = own * weight
            scaled = scaled.where(own > 0, own) if self.for_ip else scaled
            scores = (scores * self.negative_weight).scatter(1, column, scaled)
        return (scores.reshape(bottoms[0].shape), weight.reshape(1))[: mode.tops]
