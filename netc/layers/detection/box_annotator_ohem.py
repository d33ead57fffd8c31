"""BoxAnnotatorOHEM: keeps the regions with the largest losses of each image (online hard example mining)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, DTypes, Layer, Mode, Shapes, fail
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("BoxAnnotatorOHEM", dialect="rfcn", field="box_annotator_ohem_param")
@dataclass(frozen=True)
class BoxAnnotatorOhem(Layer):
    """Keeps the labels and box weights of the `roi_per_img` regions with the largest losses of each image.

    The labels of all other regions become `ignore_label`, and their weights 0. Of equal losses the first is kept.

    Shapes: regions (r, 5, h, w), losses (r, 1, h, w), labels (r, 1, h, w) and weights (r, c, h, w) to labels and
    weights; h and w are 1 or absent unless a region stands for each position.

    >>> BoxAnnotatorOhem(128).infer(((300, 5), (300, 1, 1, 1), (300, 1, 1, 1), (300, 8, 1, 1)), 2)
    ((300, 1, 1, 1), (300, 8, 1, 1))

    Reference: `box_annotator_ohem_layer.cpp` and `.cu` of R-FCN's Caffe; Shrivastava et al., Training Region-based
    Object Detectors with Online Hard Example Mining, 2016.
    """

    roi_per_img: int = 0
    """Number of regions to keep of each image."""
    ignore_label: int = -1
    """The label of the other regions."""

    bottom_count: ClassVar[Count] = Count(4)
    top_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    indices: ClassVar[tuple[int, ...]] = (0,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match, E103 without a number of regions."""
        if self.roi_per_img < 1:
            fail("`roi_per_img` is required and must be positive", code="E103", field="roi_per_img")
        shapes = [(*shape, *(1,) * (4 - len(shape))) for shape in bottoms]
        channels = (5, 1, 1, shapes[3][1])
        for shape, wanted in zip(shapes, channels):
            if any(map(differ, shape, (shapes[0][0], wanted, *shapes[0][2:]))):
                listed = ", ".join(map(text, bottoms))
                fail(f"expected regions of 5 numbers, a loss, a label and weights for each, got {listed}")
        return (shapes[2], shapes[3])

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The types of the labels and of the weights."""
        return bottoms[2], bottoms[3]

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per loss and weight."""
        return Cost(operations=product(bottoms[1]) + product(bottoms[3]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        regions, losses, labels, box_weights = (bottom.detach() for bottom in bottoms)
        n, _, h, w = (*labels.shape, 1, 1, 1)[:4]
        image = regions.reshape(n, 5, h * w)[:, 0].reshape(-1).long()
        kept = (_rank(losses.reshape(-1), image) < self.roi_per_img).view(n, 1, h, w)
        labels, box_weights = labels.reshape(n, 1, h, w), box_weights.reshape(n, -1, h, w)
        return labels.where(kept, labels.new_tensor(self.ignore_label)), box_weights * kept


def _rank(losses: Tensor, image: Tensor) -> Tensor:
    """How many larger losses each region's image has; of equal losses the first counts as larger."""
    import torch

    order = torch.argsort(losses, descending=True, stable=True)
    order = order[torch.argsort(image[order], stable=True)]
    sorted_images = image[order]
    place = torch.arange(order.shape[0], device=order.device)
    rank = place - torch.searchsorted(sorted_images, sorted_images)
    return torch.empty_like(rank).scatter_(0, order, rank)
