"""CenterLoss: pulls features to the learned center of their class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, product
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, Weight, Weights
from netc.ir.traits import Sees
from netc.layers._axes import axis_of
from netc.layers._labels import check_items, check_one_label_an_item, indices
from netc.layers._registry import register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor


@register("CenterLoss", dialect="face", field="center_loss_param")
@dataclass(frozen=True)
class CenterLoss(Layer):
    """Half the squared distance of each item to the center of its class, averaged over the n items.

    The gradient of a center is not the derivative: the sum of center - item over the items of its class, divided by
    their number plus 1, whatever the loss weight. It is computed whenever the backward pass reaches the layer.

    Shapes: (n, ...) and labels (n) to a scalar.

    >>> CenterLoss(num_output=10).infer(((6, 3), (6,)), 1)
    ((),)

    Reference: `center_loss_layer.cpp` of caffe-face; Wen et al., A Discriminative Feature Learning Approach for Deep
    Face Recognition, 2016. Unlike other losses it has no weight by default.
    """

    num_output: int
    """Number of classes."""
    center_filler: Filler = field(default_factory=Filler)
    """How the centers are initialized."""
    axis: int = 1
    """First axis of an item's vector."""

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    default_loss_weight: ClassVar[float] = 0.0
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 unless `num_output` is positive."""
        result = super().from_caffe(layer)
        positive((result.num_output,), "num_output")
        return result

    def label_classes(self, scores: Shape) -> int | None:
        """The number of centers."""
        return self.num_output

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label for each item."""
        axis_of(self.axis, bottoms[0])
        check_items(bottoms)
        check_one_label_an_item(bottoms)
        return ((),)

    def weights(self, bottoms: Shapes) -> Weights:
        """`centers`: one row for each class."""
        axis = axis_of(self.axis, bottoms[0])
        return (Weight("centers", (self.num_output, product(bottoms[0][axis:])), self.center_filler),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One subtraction, square and addition per element."""
        return Cost(operations=3 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """See `netc.functions.center_distance`."""
        from netc.functions.center_distance import CenterDistance

        labels = indices(bottoms[1].detach().flatten(), self.num_output, mode)
        rows = bottoms[0].reshape(len(labels), -1)
        loss: Tensor = CenterDistance.apply(rows, weights[0], labels)  # type: ignore[no-untyped-call]
        return loss
