"""DetectionAccuracy and BboxAccuracy: how well MS-CNN finds classes and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Role, Sees
from netc.layers._registry import register
from netc.layers.detection._regions import check_rows
from netc.layers.mscnn._codes import (
    COORDINATES,
    REGRESSION,
    centers,
    check_field,
    check_maps,
    limits,
    per_channel,
    regression,
    shares,
)
from netc.layers.mscnn.detection_loss import check_classes

if TYPE_CHECKING:
    from torch import Tensor

MATCHED = 6
"""Numbers of a matched object: its class, corners and overlap with the region."""
ITSELF = 0.975
"""Overlap above which a region is an object itself, and is not counted."""


@register("DetectionAccuracy", dialect="panoramic", field="detection_accuracy_param")
@dataclass(frozen=True)
class DetectionAccuracy(Layer):
    """The fraction of positions whose class is among the `top_k` highest scores, of all and of those with an object.

    Positions of background that overlap an object by `bg_threshold` or more are not counted. The second top is the
    overlap of predicted boxes with their objects, on average. What is averaged over nothing is -1. Of equal scores the
    later class counts as higher.

    Shapes: maps of scores and codes (n, cls_num + 4, h, w) and labels (n, 6, h, w), as DetectionLoss, to (1, 1, 1, 2)
    and (1, 1, 1, 1).

    >>> layer = DetectionAccuracy(5, field_w=60.0, field_h=60.0, downsample_rate=8.0)
    >>> layer.infer(((4, 9, 72, 96), (4, 6, 72, 96)), 2)
    ((1, 1, 1, 2), (1, 1, 1, 1))

    Reference: `detection_accuracy_layer.cpp` of MS-CNN.
    """

    cls_num: int = 0
    """Number of classes, with the background, which is class 0."""
    coord_num: int = 4
    """Number of codes; the fork computes with 4."""
    field_w: float = 0.0
    """Width of the field around a position, in pixels."""
    field_h: float = 0.0
    """Height of the field."""
    downsample_rate: float = 0.0
    """Distance between positions, in pixels."""
    field_whr: float = 2.0
    """Largest factor by which a predicted box differs from the field."""
    field_xyr: float = 4.0
    """A predicted box moves by at most one over this, in units of the field."""
    bg_threshold: float = 0.5
    """Overlap with an object from which background is not counted."""
    top_k: int = 1
    """Number of highest scores."""
    objectness: bool = False
    """Whether all classes of objects are class 1."""
    ignore_label: int | None = None
    """Positions of this class are not counted."""

    caffe_fields: ClassVar[CaffeFields] = {"ignore_label": ("loss_param.ignore_label",)}
    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    role: ClassVar[Role] = "metric"
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `detection_accuracy_param` and `loss_param`."""
        p, loss = layer.message("detection_accuracy_param"), layer.message("loss_param")
        own: dict[str, Any] = {name: p[name] for name in cls.__dataclass_fields__ if name in p}
        return cls(**own, **({"ignore_label": loss["ignore_label"]} if "ignore_label" in loss else {}))

    def to_caffe(self) -> dict[str, Any]:
        """`detection_accuracy_param` and `loss_param`, by name."""
        values = super().to_caffe()
        ignored = {"loss_param": {"ignore_label": values.pop("ignore_label")}} if "ignore_label" in values else {}
        return {"detection_accuracy_param": values, **ignored}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 without classes, E102 if the bottoms do not match, E103 for a value out of range."""
        check_classes(self, "detection_accuracy_param")
        check_field(self, "detection_accuracy_param")
        check_maps(bottoms[0], bottoms[1], self.cls_num)
        if not 1 <= self.top_k <= self.cls_num:
            what = f"`top_k` {self.top_k} is not from 1 to {counted(self.cls_num, 'class')}"
            fail(what, code="E103", field="detection_accuracy_param.top_k")
        return ((1, 1, 1, 2), (1, 1, 1, 1))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """About five operations per element."""
        return Cost(operations=5 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring, without waiting for a GPU."""
        import torch

        x, target = bottoms[0].detach(), bottoms[1].detach()
        label = target[:, 0].long()
        if not self.objectness:
            mode.check_range(target[:, 0].trunc(), 0, self.cls_num, "class", self.ignore_label)
        valid = torch.ones_like(label, dtype=torch.bool) if self.ignore_label is None else label != self.ignore_label
        objects = valid & (label != 0)
        used = objects | (valid & (target[:, -1] < self.bg_threshold))
        right = self._right(x[:, : self.cls_num], label.clamp(0, 1 if self.objectness else self.cls_num - 1))
        fractions = torch.stack((_mean(right, used), _mean(right, objects)))
        overlap = _mean(self._overlaps(x[:, self.cls_num :], target), objects)
        return (fractions.reshape(1, 1, 1, 2), overlap.reshape(1, 1, 1, 1))[: mode.tops]

    def _right(self, scores: Tensor, label: Tensor) -> Tensor:
        """Whether the label is among the highest scores (n, h, w)."""
        import torch

        own = scores.gather(1, label[:, None])
        later = torch.arange(self.cls_num, device=scores.device)[:, None, None] > label[:, None]
        higher = (scores > own) | ((scores == own) & later)
        return (higher.sum(1) < self.top_k).to(scores.dtype)

    def _overlaps(self, codes: Tensor, target: Tensor) -> Tensor:
        """Overlap of predicted boxes with the objects of the labels (n, h, w)."""
        import torch

        limit, field = limits(self), per_channel((self.field_w, self.field_h), codes)
        middle = codes[:, :2].clamp(-limit.center, limit.center) * field + centers(codes, self)
        size = codes[:, 2:].clamp(-limit.size, limit.size).exp() * field
        found = torch.cat((middle - size / 2, size), 1)
        wanted = torch.cat((target[:, 1:3] - target[:, 3:5] / 2, target[:, 3:5]), 1)
        return shares(found.movedim(1, 3), wanted.movedim(1, 3))


@register("BboxAccuracy", dialect="panoramic", field="bbox_reg_param")
@dataclass(frozen=True)
class BboxAccuracy(Layer):
    """The overlap of regions with their objects, on average, after they are moved by predicted codes; second, before.

    Regions without an object, and those that overlap theirs by more than 0.975, are not counted; without any other the
    tops are -1.

    Shapes: codes (r, 4 classes), regions (r, 5) and objects (r, 6), of class, corners and overlap, to (1, 1, 1, 1)
    each; trailing extents of 1 are accepted.

    >>> BboxAccuracy().infer(((256, 20), (256, 5, 1, 1), (256, 6, 1, 1)), 2)
    ((1, 1, 1, 1), (1, 1, 1, 1))

    Reference: `bbox_accuracy_layer.cpp` of MS-CNN.
    """

    bbox_mean: tuple[float, ...] = ()
    """Added to the codes after they are multiplied by `bbox_std`; empty for unchanged codes."""
    bbox_std: tuple[float, ...] = ()
    """Factors of the codes; empty for unchanged codes."""

    caffe_fields: ClassVar[CaffeFields] = REGRESSION
    bottom_count: ClassVar[Count] = Count(3)
    top_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)
    role: ClassVar[Role] = "metric"
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `bbox_reg_param`. Raises NetcError E103 unless there are four means and deviations, or none."""
        return cls(**regression(layer))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match."""
        codes, regions, objects = bottoms
        if not codes or (product(codes[1:]) != UNKNOWN and product(codes[1:]) % COORDINATES):
            fail(f"expected {COORDINATES} codes for each class, got {text(codes)}", field="bottom")
        count = check_rows(regions)
        if not objects or differ(product(objects[1:]), MATCHED):
            fail(f"expected objects of {MATCHED} numbers (class, x1, y1, x2, y2, overlap), got {text(objects)}")
        if differ(codes[0], count) or differ(count, objects[0]):
            numbers = ", ".join(str(shape[0]) for shape in bottoms)
            fail(f"expected codes, regions and objects of the same number, got {numbers}", field="bottom")
        return ((1, 1, 1, 1), (1, 1, 1, 1))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """About forty operations per region."""
        return Cost(operations=40 * bottoms[0][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring, without waiting for a GPU."""
        import torch

        codes, regions, objects = (bottom.detach().flatten(1) for bottom in bottoms)
        label, classes = objects[:, 0].long(), codes.shape[1] // COORDINATES
        mode.check_range(objects[:, 0].trunc(), 0, classes, "class of an object")
        used = (label > 0) & (objects[:, 5] <= ITSELF)
        at = label.clamp(0, classes - 1)[:, None, None].expand(-1, 1, COORDINATES)
        own = codes.reshape(-1, classes, COORDINATES).gather(1, at)[:, 0]
        if self.bbox_std:
            own = own * own.new_tensor(self.bbox_std) + own.new_tensor(self.bbox_mean)
        before, truth = _by_extent(regions[:, 1:]), _by_extent(objects[:, 1:5])
        sizes = before[:, 2:]
        middle, size = own[:, :2] * sizes + before[:, :2] + 0.5 * sizes, sizes * own[:, 2:].exp()
        after = torch.cat((middle - size / 2, size), 1)
        return tuple(_mean(shares(one, truth), used).reshape(1, 1, 1, 1) for one in (after, before))[: mode.tops]

    def to_caffe(self) -> dict[str, Any]:
        """The fields of `bbox_reg_param`."""
        return super().to_caffe()


def _by_extent(corners: Tensor) -> Tensor:
    """Boxes of corners, with the last pixel inside, as x, y, width and height."""
    import torch

    return torch.cat((corners[:, :2], corners[:, 2:] - corners[:, :2] + 1), 1)


def _mean(values: Tensor, used: Tensor) -> Tensor:
    """The mean of the values that are used, -1 of none."""
    import torch

    count = used.sum()
    return torch.where(count > 0, torch.where(used, values, 0).sum() / count.clamp(min=1), -1)
