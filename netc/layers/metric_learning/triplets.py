"""TripletLoss in two meanings, and SampleTriplet, which picks the triplets of the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import LayerUse, register

if TYPE_CHECKING:
    from torch import Tensor


def of_three(use: LayerUse) -> bool:
    """Whether there are three bottoms: anchors, positives and negatives."""
    return use.bottoms == 3


def by_index(use: LayerUse) -> bool:
    """Whether there are two bottoms: features, and triplets of their indices."""
    return use.bottoms == 2


@register("TripletLoss", dialect="happynear", field="triplet_loss_param", when=of_three)
@dataclass(frozen=True)
class TripletLoss(Layer):
    """Half of margin + |a - p|^2 - |a - n|^2 where it is positive, averaged over the items.

    Shapes: anchors, positives and negatives (n, ...) to a scalar.

    >>> TripletLoss(margin=0.5).infer(((4, 8), (4, 8), (4, 8)), 1)
    ((),)

    Reference: `triplet_loss_layer.cpp` of happynear's Caffe; Schroff et al., FaceNet, 2015.
    """

    margin: float = 1.0
    """By how much the squared distance to the negative must be the larger."""

    bottom_count: ClassVar[Count] = Count(3)
    is_loss: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the bottoms agree."""
        for other in bottoms[1:]:
            if not other or differ(other, bottoms[0]):
                fail(f"expected {text(bottoms[0])} as the first bottom has, got {text(other)}", field="bottom")
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three operations per element of two distances."""
        return Cost(operations=6 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """All items at once."""
        anchor, positive_, negative = (bottom.flatten(1) for bottom in bottoms)
        return _hinge(anchor, positive_, negative, self.margin).sum() / (2 * len(anchor))


@register("TripletLoss", dialect="yuqj1991", field="triplet_loss_param", when=by_index)
@dataclass(frozen=True)
class IndexedTripletLoss(Layer):
    """margin + |a - p|^2 - |a - n|^2 where it is positive, averaged over triplets of items.

    Shapes: features (n, ...) and the indices of anchor, positive and negative (m, 3) to a scalar; 0 without triplets.

    >>> IndexedTripletLoss().infer(((4, 8), (6, 3, 1, 1)), 1)
    ((),)

    Reference: `triplet_loss_layer.cpp` of yuqj1991's Caffe. Its gradient, which adds up neither triplets nor checks
    the margin, is not reproduced: the gradient is the derivative.
    """

    margin: float = 1.0
    """By how much the squared distance to the negative must be the larger."""

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the second bottom holds triplets."""
        if not bottoms[0] or not bottoms[1] or differ(product(bottoms[1][1:]), 3):
            fail(f"expected features (n, ...) and triplets (m, 3), got {text(bottoms[0])} and {text(bottoms[1])}",
                 field="bottom")  # fmt: skip
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three operations per element of two distances."""
        return Cost(operations=6 * bottoms[1][0] * product(bottoms[0][1:]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """All triplets at once."""
        x, triplets = bottoms[0].flatten(1), bottoms[1].detach().reshape(-1, 3).long().clamp(0, len(bottoms[0]) - 1)
        total = _hinge(x[triplets[:, 0]], x[triplets[:, 1]], x[triplets[:, 2]], self.margin).sum()
        return total / max(len(triplets), 1)


@register("SampleTriplet", dialect="yuqj1991", field="sample_triplet_param")
@dataclass(frozen=True)
class SampleTriplet(Layer):
    """Triplets of items of a batch in which the items of a class follow each other.

    With `sample_num`, for each ordered pair of the `sample_num` items of each of `label_num` classes the item of
    another class with the largest cosine. Without it the second bottom holds the number of items of each class; for
    each pair whose second item comes later one random item of another class whose squared distance from the first is
    less than that of the second plus `alpha`, if there is one.

    Shapes: features (n, ...), and the numbers, to indices (m, 3, 1, 1).

    >>> SampleTriplet(label_num=2, sample_num=3).infer(((6, 8),), 1)
    ((12, 3, 1, 1),)

    Reference: `sample_triplet_layer.cpp` of yuqj1991's Caffe. Its loops do not end; this is what they are meant to do.
    """

    label_num: int = 0
    """Number of classes of a batch."""
    sample_num: int = 0
    """Number of items of each class; 0 if the second bottom holds it."""
    eps: float = 1e-10
    """Added to squared lengths."""
    alpha: float = 0.2
    """Margin of the random items."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """No bottom has one."""
        return (0,) if self.sample_num else (0, 1)

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 unless there are two classes, of two items each."""
        result = super().from_caffe(layer)
        if result.sample_num:
            for name in ("label_num", "sample_num"):
                if getattr(result, name) < 2:
                    fail(f"`{name}` is {getattr(result, name)}: it must be at least 2", code="E103", field=name)
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E020 without the numbers of items, E102 for another number of items."""
        if not self.sample_num:
            if len(bottoms) < 2:
                fail("expected a second bottom with the number of items of each class", code="E020", field="bottom")
            if not bottoms[0]:
                fail(f"expected features (n, ...), got {text(bottoms[0])}", field="bottom")
            return ((UNKNOWN, 3, 1, 1),)
        items = self.label_num * self.sample_num
        if not bottoms[0] or differ(bottoms[0][0], items):
            fail(f"expected {items} items, got {text(bottoms[0])}", field="bottom")
        return ((items * (self.sample_num - 1), 3, 1, 1),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """The products of all pairs."""
        return Cost(macs=bottoms[0][0] * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Indices as floating-point numbers."""
        import torch

        x = bottoms[0].detach().flatten(1)
        if self.sample_num:
            numbers = torch.full((self.label_num,), self.sample_num, device=x.device)
        else:
            numbers = bottoms[1].detach().flatten().long()
        classes = torch.repeat_interleave(torch.arange(len(numbers), device=x.device), numbers)[: len(x)]
        same = classes.unsqueeze(1) == classes
        found = self._hardest(x, same) if self.sample_num else self._random(x, same)
        return found.to(x.dtype).reshape(-1, 3, 1, 1)

    def _hardest(self, x: Tensor, same: Tensor) -> Tensor:
        import torch

        unit = x / (x.square().sum(1, keepdim=True) + self.eps).sqrt()
        hardest = (unit @ unit.t()).masked_fill(same, -torch.inf).argmax(1)
        pairs = (same & ~torch.eye(len(x), dtype=torch.bool, device=x.device)).nonzero()
        return torch.cat((pairs, hardest[pairs[:, :1]]), 1)

    def _random(self, x: Tensor, same: Tensor) -> Tensor:
        import torch

        known = same.shape[0]
        if not known:
            return same.new_zeros((0, 3))
        distance = (x[:known].unsqueeze(1) - x[:known]).square().sum(2)
        pairs = same.triu(1).nonzero()
        fitting = ~same[pairs[:, 0]] & (
            distance[pairs[:, 0]] - distance[pairs[:, 0], pairs[:, 1]].unsqueeze(1) < self.alpha
        )
        chosen = torch.rand(fitting.shape, device=x.device).masked_fill(~fitting, -1).argmax(1, keepdim=True)
        return torch.cat((pairs, chosen), 1)[fitting.any(1)]


def _hinge(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Return margin + the squared distance to the positive - that to the negative, at least 0."""
    near, far = (anchor - positive).square().sum(1), (anchor - negative).square().sum(1)
    return (margin + near - far).relu()
