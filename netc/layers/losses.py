"""Distance, margin and logistic losses: EuclideanLoss, ContrastiveLoss, HingeLoss, MultinomialLogisticLoss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._labels import LOG_THRESHOLD, bounded, check_items, check_one_label_an_item, indices
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("EuclideanLoss", v1="EUCLIDEAN_LOSS")
@dataclass(frozen=True)
class EuclideanLoss(Layer):
    """Half the squared distance between two bottoms, averaged over the n items (not over the elements).

    Shapes: (n, ...) and the same number of elements per item to a scalar; both bottoms get a gradient.

    >>> EuclideanLoss().infer(((4, 3, 2), (4, 6)), 1)
    ((),)

    Reference: `euclidean_loss_layer.cpp`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def label_shape(self, scores: Shape) -> Shape | None:
        """One target per element."""
        return scores

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms differ in batch size or in elements per item."""
        check_items(bottoms)
        one, other = (product(shape[1:]) for shape in bottoms)
        if differ(one, other):
            fail(
                f"{counted(one, 'element')} per item {text(bottoms[0])}, but {other} {text(bottoms[1])}", field="bottom"
            )
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One subtraction, square and addition per element."""
        return Cost(operations=3 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The bottoms may have different shapes with equal numbers of elements."""
        import torch.nn.functional as F

        one, other = bottoms
        return F.mse_loss(one, other.reshape(one.shape), reduction="sum") / (2 * one.shape[0])


@register("ContrastiveLoss", field="contrastive_loss_param", v1="CONTRASTIVE_LOSS")
@dataclass(frozen=True)
class ContrastiveLoss(Layer):
    """Pulls similar pairs together and pushes dissimilar pairs apart, up to a margin.

    With d the distance between the vectors of a pair, the loss of a similar pair (third bottom not 0) is d^2, that of a
    dissimilar pair max(margin - d, 0)^2 (max(margin - d^2, 0) with `legacy_version`), halved and averaged over n pairs.

    Shapes: (n, c) twice and (n), or these with trailing extents of 1, to a scalar.

    >>> ContrastiveLoss(margin=2.0).infer(((6, 4), (6, 4), (6,)), 1)
    ((),)

    Reference: `contrastive_loss_layer.cpp`; Hadsell, Chopra, LeCun, Dimensionality Reduction by Learning an
    Invariant Mapping, 2006.
    """

    margin: float = 1.0
    """Distance beyond which the loss of a dissimilar pair is 0."""
    legacy_version: bool = False
    """Whether to use Caffe's loss from before it followed the paper."""

    bottom_count: ClassVar[Count] = Count(3)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (2,)
    indices: ClassVar[tuple[int, ...]] = (2,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if vectors and labels do not match."""
        check_items(bottoms)
        (_, c, *_), (_, other, *_) = map(_vectors, bottoms[:2])
        if differ(c, other):
            fail(f"expected vectors of {counted(c, 'element')} in the second bottom, got {other}", field="bottom")
        check_one_label_an_item(bottoms, 2)
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One subtraction, square and addition per element, and five operations per pair."""
        return Cost(operations=3 * product(bottoms[0]) + 5 * bottoms[0][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The gradient is divided by d + 1e-4 as in Caffe, so that a pair at distance 0 has a finite gradient.

        Each squared distance is therefore weighted by the constant that yields Caffe's gradient, and the value of the
        sum is replaced by the loss.
        """
        import torch

        pairs = bottoms[0].shape[0]
        squared = (bottoms[0] - bottoms[1].reshape(bottoms[0].shape)).reshape(pairs, -1).square().sum(1)
        similar = bottoms[2].detach().reshape(pairs).trunc() != 0
        constant = squared.detach()
        distance = constant.sqrt()
        short = self.margin - (constant if self.legacy_version else distance)
        apart = short.clamp(min=0) if self.legacy_version else short.clamp(min=0).square()
        value = torch.where(similar, constant, apart).sum() / pairs / 2
        pull = torch.full_like(short, -1) if self.legacy_version else -short / (distance + 1e-4)
        factor = torch.where(similar, 1, torch.where(short > 0, pull, 0))
        with_gradient = (factor * squared).sum() / pairs / 2
        return value + (with_gradient - with_gradient.detach())


@register("HingeLoss", field="hinge_loss_param", v1="HINGE_LOSS")
@dataclass(frozen=True)
class HingeLoss(Layer):
    """One-versus-all hinge loss: max(0, 1 - score) of the label's class and max(0, 1 + score) of all others.

    Summed (`L1`) or summed as squares (`L2`), and averaged over the n items.

    Shapes: (n, ...) scores and n labels to a scalar; all axes after the first are classes.

    >>> HingeLoss(norm="L2").infer(((6, 5), (6,)), 1)
    ((),)

    Reference: `hinge_loss_layer.cpp`.
    """

    norm: Literal["L1", "L2"] = "L1"
    """Whether the margin violations (`L1`) or their squares (`L2`) are summed."""

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def label_classes(self, scores: Shape) -> int | None:
        """The number of scores of an item."""
        return product(scores[1:])

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label per item."""
        check_items(bottoms)
        check_one_label_an_item(bottoms)
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Two additions and one comparison per score."""
        return Cost(operations=3 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A score exactly at its margin has no gradient."""
        import torch

        items = bottoms[0].shape[0]
        scores = bottoms[0].reshape(items, -1)
        labels = indices(bottoms[1], scores.shape[1], mode).reshape(items, 1)
        sign = torch.ones_like(scores).scatter(1, labels, -1)
        margins = (1 + sign * scores).relu()
        return (margins if self.norm == "L1" else margins.square()).sum() / items


@register("MultinomialLogisticLoss", v1="MULTINOMIAL_LOGISTIC_LOSS")
@dataclass(frozen=True)
class MultinomialLogisticLoss(Layer):
    """Negative logarithm of each label's probability, averaged over the n items; the bottom holds probabilities.

    Shapes: (n, ...) probabilities and n labels to a scalar; all axes after the first are classes.

    >>> MultinomialLogisticLoss().infer(((6, 5), (6, 1, 1, 1)), 1)
    ((),)

    Reference: `multinomial_logistic_loss_layer.cpp`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def label_classes(self, scores: Shape) -> int | None:
        """The number of scores of an item."""
        return product(scores[1:])

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label per item."""
        check_items(bottoms)
        check_one_label_an_item(bottoms)
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, logarithm and addition per item."""
        return Cost(operations=3 * bottoms[0][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Probabilities are clamped to at least 1e-20, also in the gradient, which clamped ones still receive."""
        items = bottoms[0].shape[0]
        probabilities = bottoms[0].reshape(items, -1)
        labels = indices(bottoms[1], probabilities.shape[1], mode).reshape(items, 1)
        return -bounded(probabilities.gather(1, labels), low=LOG_THRESHOLD).log().sum() / items


def _vectors(shape: Shape) -> Shape:
    """Return the shape padded with ones to (n, c, h, w). Raises NetcError E102 unless h and w are 1."""
    full = (*shape, 1, 1, 1)[: max(4, len(shape))]
    if len(full) > 4 or any(differ(extent, 1) for extent in full[2:]):
        fail(f"expected vectors (n, c) or (n, c, 1, 1), got a bottom of shape {text(shape)}", field="bottom")
    return full
