"""RedSoftmaxLoss: softmax over more channels than classes, several for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._labels import (
    LOSS_FIELDS,
    Normalization,
    bounded,
    check_axis,
    check_items,
    check_label_count,
    indices,
    loss_message,
    normalization,
    normalizer,
    refuse_weights,
)
from netc.layers._registry import register
from netc.layers.cross_entropy import LARGEST
from netc.layers.softmax import Softmax

if TYPE_CHECKING:
    from torch import Tensor


@register("RedSoftmaxLoss", dialect="deconvnet", v1="RED_SOFTMAX_LOSS")
@dataclass(frozen=True)
class RedSoftmaxLoss(Layer):
    """Negative logarithm of the softmax probability of each label, summed over the channels of its class.

    The channels from label c / `class_num` to (label + 1) c / `class_num`, exclusive, are those of a class. The
    optional second top holds the probabilities of the channels; no gradient flows through it.

    Shapes: scores (n, c, ...) and one label for each position to a scalar, and the scores' shape.

    >>> RedSoftmaxLoss(class_num=2).infer(((3, 5, 4, 2), (3, 1, 4, 2)), 2)
    ((), (3, 5, 4, 2))

    Reference: `red_softmax_loss_layer.cpp` of DeconvNet's Caffe.
    """

    class_num: int = 0
    """Number of classes; 0 for one per channel."""
    ignore_label: int | None = None
    """Positions with this label are ignored, whether or not it is a class."""
    normalization: Normalization = "VALID"
    """The divisor of the summed loss."""

    caffe_fields: ClassVar[CaffeFields] = {
        "class_num": ("red_softmax_loss_param.class_num",),
        **{name: LOSS_FIELDS[name] for name in ("ignore_label", "normalization")},
    }
    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, 2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads both messages. Raises NetcError E101 for class weights."""
        loss = layer.message("loss_param")
        refuse_weights(loss, "RedSoftmaxLoss")
        count = layer.message("red_softmax_loss_param").get("class_num", 0)
        return cls(count, loss.get("ignore_label", None), normalization(loss, "VALID"))

    def to_caffe(self) -> dict[str, Any]:
        """`red_softmax_loss_param` and `loss_param`, by name."""
        own = {"class_num": self.class_num} if self.class_num else {}
        return {"red_softmax_loss_param": own, **loss_message(self.ignore_label, self.normalization, "VALID")}

    def label_shape(self, scores: Shape) -> Shape | None:
        """One label for each position."""
        return (scores[0], *scores[2:])

    def label_classes(self, scores: Shape) -> int | None:
        """The number of classes."""
        return self.class_num or scores[1]

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if scores and labels do not match, E103 for more classes than channels."""
        check_items(bottoms)
        axis = check_axis(bottoms[0], 1, "bottom")
        check_label_count(bottoms[0], axis, bottoms[1])
        if self.class_num < 0 or self.class_num > bottoms[0][1]:
            found = f"`class_num` is {self.class_num}, for {counted(bottoms[0][1], 'channel')}"
            fail(found, code="E103", field="red_softmax_loss_param.class_num")
        return ((), bottoms[0])

    def score_layer(self) -> Layer:
        """The softmax that the loss computes."""
        return Softmax()

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, subtraction, exponential and two additions per score, and one operation per label."""
        return Cost(operations=5 * product(bottoms[0]) + product(bottoms[1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The gradient is the derivative, even if the loss is clamped."""
        import torch

        scores = bottoms[0].flatten(2) if bottoms[0].dim() > 2 else bottoms[0].unsqueeze(2)
        n, channels, places = scores.shape
        classes = self.class_num or channels
        labels = indices(bottoms[1], classes, mode, self.ignore_label).reshape(n, 1, places)
        valid = None if self.ignore_label is None else labels != self.ignore_label
        chosen = labels if valid is None else labels * valid
        channel = torch.arange(channels, device=scores.device).reshape(1, -1, 1)
        own = (channel >= chosen * channels // classes) & (channel < (chosen + 1) * channels // classes)
        each = torch.where(own, scores.log_softmax(1), -torch.inf).logsumexp(1, keepdim=True)
        each = bounded(-each, high=LARGEST)
        total = (each if valid is None else each * valid).sum()
        loss = total / normalizer(self.normalization, n, places, valid)
        return (loss, bottoms[0].detach().softmax(1)) if mode.tops > 1 else (loss,)
