"""YoloSeg, SegmentationEvaluate: masks of MobileNet-YOLO, one channel per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

MIDDLE = 0.5
"""Labels above count as parts of the object."""


@register("YoloSeg", dialect="mobilenet_yolo", field="yolo_seg_param")
@dataclass(frozen=True)
class YoloSeg(Layer):
    """The squared difference of a mask, the logistic function of the scores, and its labels, summed per image.

    The gradient is the scaled difference itself, not the derivative of the loss. With a third bottom, the numbers of
    pixels of each class in each image, the differences of a class's own pixels are scaled by 2 less the ratio of these
    numbers to those of all other pixels.

    Shapes: (n, c, h, w) twice, and (n, c, 1, 1), to a scalar.

    >>> YoloSeg().infer(((2, 3, 4, 5), (2, 3, 4, 5)), 1)
    ((),)

    Reference: `yolo_seg.cpp` of MobileNet-YOLO.
    """

    object_scale: float = 1.0
    """Factor of the differences."""
    num_class: int = 1
    """Not used: each channel is a class."""
    class_scale: float = 1.0
    """Not used."""
    use_logic_gradient: bool = False
    """Not used."""
    use_hardsigmoid: bool = False
    """Not supported."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1, -1)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match."""
        scores, labels = bottoms[:2]
        if self.use_hardsigmoid:
            fail("`use_hardsigmoid` is not supported", code="E106", field="use_hardsigmoid")
        if len(scores) < 2 or differ(scores, labels):
            fail(f"masks {text(scores)} and labels {text(labels)} have different shapes", field="bottom")
        if len(bottoms) > 2 and differ(product(bottoms[2]), product(scores[:2])):
            fail(f"numbers of pixels {text(bottoms[2])} of masks {text(scores)}", field="bottom")
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One logistic function, subtraction, multiplication, square and addition per element."""
        return Cost(operations=5 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The gradient is the fork's: its deltas, divided by the number of images."""
        from netc.functions.own_gradient import with_gradient

        scores, labels = bottoms[0].detach(), bottoms[1].to(bottoms[0].dtype)
        delta = (scores.sigmoid() - labels) * self.object_scale
        if len(bottoms) > 2:
            delta = delta * self._weights(scores, labels, bottoms[2])
        return with_gradient(bottoms[0], delta.square().sum() / len(scores), delta / len(scores))

    def _weights(self, scores: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        import torch

        own = counts.reshape(scores.shape[:2]).sum(0)
        others = scores[:, 0].numel() - own
        weights = (2 - own / others).reshape(-1, *[1] * (scores.dim() - 2))
        return torch.where(labels > MIDDLE, weights, 1.0)


@register("SegmentationEvaluate", dialect="mobilenet_yolo", field="segmentation_evaluate_param")
@dataclass(frozen=True)
class SegmentationEvaluate(Layer):
    """The intersection over union of each channel of a mask with its labels, both above a threshold; of one image.

    Shapes: (1, c, h, w) twice to (1, 1, 1, c).

    >>> SegmentationEvaluate(3).infer(((1, 3, 8, 8), (1, 3, 8, 8)), 1)
    ((1, 1, 1, 3),)

    Reference: `segmentation_evaluate_layer.cpp` of MobileNet-YOLO, which reads the first image of a batch alone and
    resizes masks of another extent than their labels; both are errors here.
    """

    num_classes: int = 1
    """Not used: each channel is a class."""
    threshold: float = 0.5
    """Values above it belong to the mask."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 if `num_classes` is missing."""
        if "num_classes" not in layer.message("segmentation_evaluate_param"):
            fail("`num_classes` is missing", code="E101", help="set `segmentation_evaluate_param { num_classes: ... }`")
        return super().from_caffe(layer)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless both bottoms are one image of the same shape."""
        masks, labels = bottoms
        if len(masks) != 4 or differ(masks, labels):
            fail(f"masks {text(masks)} and labels {text(labels)} are not of one shape with 4 axes", field="bottom")
        if differ(masks[0], 1):
            fail(f"expected 1 image, got {counted(masks[0], 'image')}", field="bottom")
        return ((1, 1, 1, masks[1]),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Two comparisons and three additions per element."""
        return Cost(operations=5 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """0 for a channel without a common element."""
        masks, labels = ((bottom > self.threshold).flatten(2)[0] for bottom in bottoms)
        common, union = (masks & labels).sum(1), (masks | labels).sum(1)
        shares = common.to(bottoms[0].dtype) / union.clamp_min(1)
        return shares.reshape(1, 1, 1, -1)
