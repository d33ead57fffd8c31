"""Layers of multitask network cascades for instance masks: MaskPooling, MaskResize and a loss with weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._labels import check_items
from netc.layers._registry import LayerUse, register
from netc.layers.activations import Sigmoid

if TYPE_CHECKING:
    from torch import Tensor


@register("MaskPooling", dialect="mnc")
@dataclass(frozen=True)
class MaskPooling(Layer):
    """Multiplies all channels of the features of each region by a mask.

    Shapes: features (r, c, h, w) and masks (r, 1, h, w) to (r, c, h, w); both get a gradient.

    >>> MaskPooling().infer(((300, 512, 14, 14), (300, 1, 14, 14)), 1)
    ((300, 512, 14, 14),)

    Reference: `mask_pooling_layer.cu` of MNC's Caffe; Dai et al., Instance-aware Semantic Segmentation via Multi-task
    Network Cascades, 2016.
    """

    bottom_count: ClassVar[Count] = Count(2)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is a mask of the features' size for each region."""
        features, masks = bottoms
        if len(features) != 4 or len(masks) != 4 or any(map(differ, (features[0], 1, *features[2:]), masks)):
            fail(f"expected features and one mask of their size each, got {text(features)} and {text(masks)}")
        return (features,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A product."""
        return bottoms[0] * bottoms[1]


@register("MaskResize", dialect="mnc", field="mask_resize_param")
@dataclass(frozen=True)
class MaskResize(Layer):
    """Resizes masks bilinearly.

    Output position i is at i h / output_height of the input, so that the first rows and columns coincide. Positions
    more than half a pixel beyond the last one are 0.

    Shapes: (n, c, h, w) to (n, c, output_height, output_width).

    >>> MaskResize(14, 14).infer(((300, 1, 21, 21),), 1)
    ((300, 1, 14, 14),)

    Reference: `mask_resize_layer.cu` of MNC's Caffe, whose gradient is that of the top where masks are reduced and
    incomplete where they are enlarged.
    """

    output_height: int = 0
    """Height of the top."""
    output_width: int = 0
    """Width of the top."""

    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without four axes, E103 without a size."""
        (shape,) = bottoms
        for name in ("output_height", "output_width"):
            if getattr(self, name) < 1:
                fail(f"`{name}` is required and must be positive", code="E103", field=name)
        if len(shape) != 4:
            fail(f"expected masks of 4 axes, got {text(shape)}", field="bottom")
        return ((*shape[:2], self.output_height, self.output_width),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Six operations per element of the top."""
        return Cost(operations=6 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """One axis after the other."""
        rows = _interpolated(bottoms[0], 2, self.output_height)
        return _interpolated(rows, 3, self.output_width)


def has_weights(use: LayerUse) -> bool:
    """Whether a SigmoidCrossEntropyLoss layer has a third bottom, of weights, as in MNC's Caffe."""
    return use.bottoms == 3


@register("SigmoidCrossEntropyLoss", dialect="mnc", when=has_weights)
@dataclass(frozen=True)
class WeightedSigmoidCrossEntropyLoss(Layer):
    """Cross entropy between the sigmoid of each score and its target, averaged with weights.

    `loss_param` is not read. Without any weight the loss and its gradient are 0, where the fork leaves the previous
    loss.

    Shapes: scores (n, ...) and as many targets and weights to a scalar.

    >>> WeightedSigmoidCrossEntropyLoss().infer(((64, 441), (64, 1, 21, 21), (64, 1, 21, 21)), 1)
    ((),)

    Reference: `sigmoid_cross_entropy_loss_layer.cpp` of MNC's Caffe.
    """

    bottom_count: ClassVar[Count] = Count(3)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there are as many targets and weights as scores."""
        check_items(bottoms)
        counts = [product(shape) for shape in bottoms]
        if any(differ(counts[0], count) for count in counts[1:]):
            shapes = ", ".join(map(text, bottoms))
            fail(f"expected as many targets and weights as scores, got {shapes}", field="bottom")
        return ((),)

    def score_layer(self) -> Layer:
        """The sigmoid that the loss computes."""
        return Sigmoid()

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One exponential, logarithm, addition and two multiplications per score."""
        return Cost(operations=5 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed from the score itself, not from a sigmoid that may round to 0 or 1."""
        import torch
        import torch.nn.functional as F

        scores = bottoms[0]
        targets, factors = (bottom.detach().reshape(scores.shape) for bottom in bottoms[1:])
        total = factors.sum()
        loss = F.binary_cross_entropy_with_logits(scores, targets, weight=factors, reduction="sum")
        return loss / torch.where(total > 0, total, 1)


def _interpolated(x: Tensor, axis: int, size: int) -> Tensor:
    """Resize one axis bilinearly."""
    import torch

    extent = x.shape[axis]
    at = torch.arange(size, device=x.device, dtype=x.dtype) * (extent / size)
    inside = at <= extent - 0.5
    at = at.clamp(max=extent - 1)
    low = at.long()
    high = (low + 1).clamp(max=extent - 1)
    shape = [-1 if i == axis else 1 for i in range(4)]
    part = (at - low).view(shape)
    mixed = x.index_select(axis, low) * (1 - part) + x.index_select(axis, high) * part
    return mixed * inside.view(shape)
