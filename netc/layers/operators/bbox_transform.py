"""Boxes decoded from regions: BBoxTransform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import differ, known, product, text
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import check_axes
from netc.layers._operators import operator
from netc.layers.operators._detectron import BoxOperator

if TYPE_CHECKING:
    from torch import Tensor


@operator("BBoxTransform")
@dataclass(frozen=True)
class BBoxTransform(BoxOperator):
    """The boxes that codes describe relative to regions, for each class, clipped to the unscaled image.

    Regions are in pixels of the scaled image; those of an image are consecutive, in the order of the images. The second
    output is the number of regions of each image.

    Shapes: regions (r, 5) of image, x1, y1, x2, y2, or (r, 4) of a single image, codes (r, 4 k), and height, width and
    scale of each image (n, 3) to (r, 4 k) and (n). Rotated boxes have one number more.

    Reference: `bbox_transform_op.cc`, `generate_proposals_op_util_boxes.h`.
    """

    code_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    """The divisors of the first four codes of a box."""
    apply_scale: bool = True
    """Whether the boxes are those of the scaled image."""
    rotated: bool = False
    """Whether regions and codes have an angle."""

    bottom_count: ClassVar[Count] = Count(3)
    top_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 unless there are four `weights`, and for bounds of angles."""
        weights = operator.reals("weights", (1.0, 1.0, 1.0, 1.0))
        if len(weights) != 4:
            operator.fail(f"expected 4 `weights`, got {len(weights)}", "weights")
        layer = cls(
            operator.flag("legacy_plus_one", True),
            operator.flag("angle_bound_on", True),
            operator.integer("angle_bound_lo", -90),
            operator.integer("angle_bound_hi", 90),
            operator.real("clip_angle_thresh", 1.0),
            weights,
            operator.flag("apply_scale", True),
            operator.flag("rotated"),
        )
        if layer.rotated:
            layer.check_bounds()
        return layer

    @property
    def _numbers(self) -> int:
        return 5 if self.rotated else 4

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs that do not match."""
        regions, codes, info = bottoms
        for index, bottom in enumerate(bottoms):
            check_axes("BBoxTransform", bottom, 2, index)
        numbers = self._numbers
        if differ(regions[1], numbers) and differ(regions[1], numbers + 1):
            fail(f"expected regions of {numbers} or {numbers + 1} numbers, got {text(regions)}", field="input")
        if differ(codes[0], regions[0]) or (known(codes[1]) and codes[1] % numbers):
            fail(f"codes {text(codes)} do not match regions {text(regions)}", field="input")
        if differ(info[1], 3):
            fail(f"expected height, width and scale of each image, got {text(info)}", field="input")
        if regions[1] == numbers and differ(info[0], 1):
            fail(f"regions {text(regions)} name no image, and there are {info[0]} images", field="input")
        return codes, info[:1]

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return "float32", "float32"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three operations per code."""
        return Cost(operations=3 * product(bottoms[1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, Tensor]:
        """Raises NetcError E301 for an image that does not exist."""
        import torch

        regions, codes, info = (bottom.detach() for bottom in bottoms)
        images, numbers, rules = len(info), self._numbers, self.rules()
        if regions.shape[1] == numbers:
            counts = torch.tensor([len(regions)], device=regions.device)
        else:
            mode.check_range(regions[:, 0].trunc(), 0, images, "image of a region")
            counts = torch.bincount(regions[:, 0].long().clamp(0, images - 1), minlength=images)
        of_region = info.repeat_interleave(counts, 0)[:, :, None]  # the order of the regions counts, not their image
        height, width, scale = of_region.unbind(1)
        boxes = regions[:, -numbers:]
        boxes = torch.cat((boxes[:, :4] / scale, boxes[:, 4:]), 1)[:, None]
        found = rules.decoded(boxes, codes.view(len(codes), codes.shape[1] // numbers, numbers), self.code_weights)
        found = rules.clipped(found, (height / scale + 0.5).trunc(), (width / scale + 0.5).trunc())
        if self.apply_scale:
            found = torch.cat((found[..., :4] * scale[:, None], found[..., 4:]), -1)
        return found.reshape(codes.shape), counts.to(codes.dtype)
