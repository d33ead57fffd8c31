"""DecodeBBox and BoxGroupOutput of Cascade R-CNN: boxes from predicted codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.detection._regions import check_rows
from netc.layers.mscnn._codes import COORDINATES, REGRESSION, regression, without_regression

if TYPE_CHECKING:
    from torch import Tensor

CODES = 8
"""Columns of codes: of background and of objects."""


@register("DecodeBBox", dialect="cascade_rcnn", field="decode_bbox_param")
@dataclass(frozen=True)
class DecodeBBox(Layer):
    """Moves regions by the codes of objects, for the next stage of a cascade.

    In training, boxes with a negative extent are dropped, and with a third bottom those whose region overlapped its
    object by `gt_iou_thr` or more: they are the objects themselves.

    Shapes: codes (r, 8), regions (r, 5) and, in training, matched objects (r, 6), whose last column is the overlap, to
    regions (k, 5, 1, 1); trailing extents of 1 are accepted.

    >>> DecodeBBox().infer(((300, 8), (300, 5, 1, 1)), 1)
    ((?, 5, 1, 1),)

    Reference: `decode_bbox_layer.cpp` of MS-CNN and Cascade R-CNN; Cai and Vasconcelos, Cascade R-CNN: Delving into
    High Quality Object Detection, 2018.
    """

    gt_iou_thr: float = 0.95
    """Overlap from which a region is dropped in training."""
    bbox_mean: tuple[float, ...] = ()
    """Added to the codes after they are multiplied by `bbox_std`; empty for unchanged codes."""
    bbox_std: tuple[float, ...] = ()
    """Factors of the codes; empty for unchanged codes."""

    caffe_fields: ClassVar[CaffeFields] = REGRESSION
    bottom_count: ClassVar[Count] = Count(2, 3)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `decode_bbox_param` and `bbox_reg_param`. Raises NetcError E103."""
        return cls(layer.message("decode_bbox_param")["gt_iou_thr"], **regression(layer))

    def to_caffe(self) -> dict[str, Any]:
        """`decode_bbox_param` and `bbox_reg_param`, by name."""
        return without_regression(super().to_caffe(), "decode_bbox_param")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match."""
        codes, regions, *matched = bottoms
        if not codes or differ(product(codes[1:]), CODES):
            fail(f"expected {CODES} codes of each region, got {text(codes)}", field="bottom")
        count = check_rows(regions)
        if any(not shape or differ(shape[0], count) for shape in (codes, *matched)):
            numbers = ", ".join(text(shape) for shape in bottoms)
            fail(f"expected the same number of rows of each bottom, got {numbers}", field="bottom")
        return ((UNKNOWN, 5, 1, 1),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Twenty operations per region."""
        return Cost(operations=20 * bottoms[0][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The number of regions depends on the data in training. Raises NetcError E301 if none is left."""
        import torch

        codes, regions, *matched = (bottom.detach().flatten(1) for bottom in bottoms)
        own = codes[:, COORDINATES:]
        if self.bbox_std:
            own = own * own.new_tensor(self.bbox_std) + own.new_tensor(self.bbox_mean)
        low, high = regions[:, 1:3], regions[:, 3:]
        sizes = high - low + 1
        extents = sizes * own[:, 2:].exp()
        start = own[:, :2] * sizes + 0.5 * (low + high) - (extents - 1) / 2
        found = torch.cat((regions[:, :1], start, start + extents - 1), 1)
        if mode.training:
            kept = (found[:, 1:3] <= found[:, 3:]).all(1)
            if matched:
                kept &= matched[0][:, -1] < self.gt_iou_thr
            found = found[kept]
            if not len(found):
                fail("no region is left", code="E301")
        return found[:, :, None, None]


class BoxGroup(NamedTuple):
    """The fields of one map."""

    field_w: tuple[int, ...] = ()
    """Widths of the fields, in pixels."""
    field_h: tuple[int, ...] = ()
    """Heights of the fields."""
    stride: int = 0
    """Distance between positions, in pixels."""


@register("BoxGroupOutput", dialect="cascade_rcnn", field="box_group_output_param")
@dataclass(frozen=True)
class BoxGroupOutput(Layer):
    """Proposals of Cascade R-CNN: the best boxes of several maps after non-maximum suppression.

    Bottoms are pairs of probabilities and codes of a map, whose items are the fields of each image in turn. The score
    of a position is 1 minus the probability of background; those below `fg_thr` are dropped. Codes are clamped, and
    move and scale a field. Boxes are clipped to the image, those with a side below `min_size` are dropped, and the best
    of each image are suppressed. If nothing is left, there is one region, from 1, 1 to 10, 10, of the first image.

    Shapes: pairs of (n k, classes, h, w) and (n k, 4, h, w) to regions (r, 5, 1, 1), of image, x1, y1, x2, y2, and
    these with the score (r, 6, 1, 1).

    >>> layer = BoxGroupOutput(groups=(BoxGroup((64, 32), (64, 32), 16),))
    >>> layer.infer(((2, 2, 38, 63), (2, 4, 38, 63)), 2)
    ((?, 5, 1, 1), (?, 6, 1, 1))

    Reference: `box_group_output_layer.cpp` and `bbox_util.cpp` of Cascade R-CNN.
    """

    fg_thr: float = 0.0
    """The least score."""
    iou_thr: float = 0.5
    """Boxes that overlap a better one by more are dropped."""
    groups: tuple[BoxGroup, ...] = ()
    """The fields of each map (`box_group_param`)."""
    field_whr: float = 2.0
    """Largest factor by which a box differs from its field."""
    field_xyr: float = 2.0
    """A box moves by at most one over this, in units of its field."""
    max_nms_num: int = 0
    """Number of boxes with the highest scores that take part in suppression; 0 means all."""
    max_post_nms_num: int = 0
    """Number of boxes that are kept; 0 means all."""
    min_size: float = 15.0
    """Smallest side of a box."""
    bbox_mean: tuple[float, ...] = ()
    """Added to the codes after they are multiplied by `bbox_std`; empty for unchanged codes."""
    bbox_std: tuple[float, ...] = ()
    """Factors of the codes; empty for unchanged codes."""

    caffe_fields: ClassVar[CaffeFields] = {**REGRESSION, "groups": ("box_group_output_param.box_group_param",)}
    bottom_count: ClassVar[Count] = Count(2, None)
    top_count: ClassVar[Count] = Count(1, 2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `box_group_output_param` and `bbox_reg_param`. Raises NetcError E103, E106 for another `nms_type`."""
        p = layer.message("box_group_output_param")
        if p.get("nms_type", "IOU") != "IOU":
            what = f"`nms_type` `{p['nms_type']}` is not supported"
            fail(what, code="E106", field="box_group_output_param.nms_type")
        own: dict[str, Any] = {name: p[name] for name in cls.__dataclass_fields__ if name in p}
        groups = tuple(
            BoxGroup(tuple(one["field_w"]), tuple(one["field_h"]), one["stride"]) for one in p["box_group_param"]
        )
        return cls(**own, groups=groups, **regression(layer))

    def to_caffe(self) -> dict[str, Any]:
        """`box_group_output_param` and `bbox_reg_param`, by name."""
        values = super().to_caffe()
        if "groups" in values:
            values["box_group_param"] = [group._asdict() for group in values.pop("groups")]
        return without_regression(values, "box_group_output_param")

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """Every bottom: boxes are constants."""
        return tuple(range(2 * len(self.groups)))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 if fields are missing, E102 for other bottoms, E103 for values out of range."""
        message = "box_group_output_param"
        for group in self.groups:
            sizes = (*group.field_w, *group.field_h, group.stride)
            if len(group.field_w) != len(group.field_h) or not group.field_w or min(sizes) < 1:
                what = "`box_group_param` must have a stride, and as many positive widths as heights"
                fail(what, code="E101", field=f"{message}.box_group_param")
        if len(bottoms) != 2 * len(self.groups):
            what = f"expected probabilities and codes for each `box_group_param`, got {len(bottoms)} bottoms"
            fail(what, code="E101", field=f"{message}.box_group_param")
        if not 1 <= self.field_whr < math.inf or not 0 < self.field_xyr < math.inf:
            fail("`field_whr` or `field_xyr` is out of range", code="E103", field=message)
        for shape, codes, group in zip(bottoms[::2], bottoms[1::2], self.groups):
            if len(shape) != 4 or len(codes) != 4 or differ(codes, (shape[0], COORDINATES, *shape[2:])):
                fail(f"expected probabilities and codes of one size, got {text(shape)} and {text(codes)}")
            fields, images = len(group.field_w), bottoms[0][0] // len(self.groups[0].field_w)
            if shape[0] % fields or differ(shape[0] // fields, images):
                fail(f"expected {fields} items per image, got {text(shape)}", field="bottom")
        return ((UNKNOWN, 5, 1, 1), (UNKNOWN, 6, 1, 1))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Ten operations per code; suppression depends on the data."""
        return Cost(operations=10 * sum(map(product, bottoms[1::2])))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch

        maps = [
            self._boxes(probability.detach(), codes.detach(), group)
            for probability, codes, group in zip(bottoms[::2], bottoms[1::2], self.groups)
        ]
        rows = torch.cat([self._of_image(one, image) for image, one in enumerate(torch.cat(maps, 1))])
        regions = rows[:, :5]
        if not len(rows):
            regions, rows = rows.new_tensor([[0.0, 1.0, 1.0, 10.0, 10.0]]), rows.new_zeros(1, 6)
        return (regions[:, :, None, None], rows[:, :, None, None])[: mode.tops]

    def _of_image(self, rows: Tensor, image: int) -> Tensor:
        """Rows of image, corners and score, the best first."""
        import torch

        from netc.functions.suppression import nms

        sides = rows[:, 2:4] - rows[:, :2] + 1
        rows = rows[(rows[:, 4] >= self.fg_thr) & (sides >= self.min_size).all(1)]
        rows = rows[rows[:, 4].argsort(descending=True, stable=True)[: self.max_nms_num or None]]
        kept = nms(rows[:, :4], rows[:, 4], self.iou_thr, inclusive=True)[: self.max_post_nms_num or None]
        return torch.cat((rows.new_full((len(kept), 1), image), rows[kept]), 1)

    def _boxes(self, probability: Tensor, codes: Tensor, group: BoxGroup) -> Tensor:
        """Corners and score of each position and field (n, k h w, 5)."""
        import torch

        fields, (height, width) = len(group.field_w), codes.shape[2:]
        own = codes.reshape(-1, fields, COORDINATES, height, width).movedim(2, 4)
        if self.bbox_std:
            own = own * own.new_tensor(self.bbox_std) + own.new_tensor(self.bbox_mean)
        y, x = torch.meshgrid(*(torch.arange(n, device=own.device) for n in (height, width)), indexing="ij")
        centers = (torch.stack((x, y), 2).to(own.dtype) + 0.5) * group.stride
        field = own.new_tensor([group.field_w, group.field_h]).t()[:, None, None]
        middle = own[..., :2].clamp(-1 / self.field_xyr, 1 / self.field_xyr) * field + centers
        most = math.log(self.field_whr)
        size = own[..., 2:].clamp(-most, most).exp() * field
        low = middle - size / 2
        image = own.new_tensor([width * group.stride, height * group.stride])
        corners = torch.cat((low.clamp(min=0), torch.minimum(low + size - 1, image)), 4)
        score = 1 - probability.reshape(-1, fields, probability.shape[1], height, width)[:, :, 0]
        return torch.cat((corners, score[..., None]), 4).flatten(1, 3)
