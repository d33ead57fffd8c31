"""ProposalTarget: a batch of regions of MS-CNN with their classes, codes and objects; of its panoramic port, in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from netc.ir.dims import differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.detection._regions import check_rows
from netc.layers.mscnn._codes import REGRESSION, regression, without_regression
from netc.layers.mscnn._poses import MATRICES, POSE, Poses, pose_shapes, pose_targets

if TYPE_CHECKING:
    from torch import Tensor

OBJECT = 7
"""Numbers of an object: its image, corners, class, and whether it is ignored."""
LEAST_SIDE = 32
"""Smallest width and height of a region made at random."""
TRIES = 1000
"""How many times as many regions are made at random as are needed, before it is an error."""
PLAIN_TOPS = 6
"""Tops of MS-CNN's layer without weights of the regions."""


class Candidates(NamedTuple):
    """Regions that may be drawn: proposals, then objects."""

    boxes: Tensor
    """(c, 5) of image, x, y, width and height."""
    overlaps: Tensor
    """The greatest overlap with an object of the image (c), 0 without one."""
    nearest: Tensor
    """That object (c), 0 without one."""


@register("ProposalTarget", dialect="panoramic", field="proposal_target_param")
@dataclass(frozen=True)
class ProposalTarget(Layer):
    """Draws a batch of regions, those of objects first, with their classes and the codes that move them to objects.

    The objects themselves are candidates too. A candidate is of its object's class if it overlaps that by `fg_thr`; it
    is left out if the object is ignored. It is background if the overlap is from `bg_thr_lw` to below `bg_thr_hg`. At
    most `fg_fraction` of the batch are of objects; where background lacks, other candidates take its place, and then
    regions made at random. The codes of class c are columns 4 c to 4 c + 3.

    With `output_3d_boxes`, of the panoramic port, objects have 14 numbers: also length, height and width, location and
    rotation. The projection (n, 6) and model (n, 16) matrices of the images follow, and there are targets of size,
    location in the image, distance, quadrant and orientation.

    Shapes: regions (r, 5) and objects (g, 7), of image, corners, class and whether it is ignored, to regions
    (k, 5, 1, 1), labels (k, 1, 1, 1), codes, inside and outside weights (k, 4 cls_num, 1, 1), matched objects
    (k, 6, 1, 1), of class, corners and overlap, and weights of the regions (k, 1, 1, 1).

    >>> ProposalTarget(5, 256, img_width=768, img_height=576).infer(((2000, 5, 1, 1), (9, 7, 1, 1)), 6)[:2]
    ((256, 5, 1, 1), (256, 1, 1, 1))

    Reference: `proposal_target_layer.cpp` of MS-CNN and of panoramic-object-detection; Cai et al., A Unified
    Multi-scale Deep Convolutional Neural Network for Fast Object Detection, 2016.
    """

    cls_num: int = 0
    """Number of classes, with the background, which is class 0."""
    batch_size: int = 128
    """Number of regions."""
    fg_fraction: float = 0.25
    """Largest part of them that are of objects."""
    num_img_per_batch: int = 4
    """Number of images."""
    fg_thr: float = 0.5
    """Overlap from which a region is of its object's class."""
    bg_thr_hg: float = 0.5
    """Overlap below which a region is background."""
    bg_thr_lw: float = 0.1
    """Smallest overlap of background that is preferred."""
    img_width: int = 0
    """Width of the images in which regions are made at random."""
    img_height: int = 0
    """Height of these images."""
    iou_weighted: bool = False
    """Whether the weight of an object's region is its overlap before weights are balanced."""
    output_3d_boxes: bool = False
    """Whether there are targets in three dimensions (panoramic port)."""
    has_3d_boxes_and_proj_mat_input: bool = False
    """Whether the matrices of the images follow the objects (panoramic port)."""
    output_sample_weight: bool = False
    """Whether there are weights of the regions (panoramic port); in MS-CNN the seventh top tells."""
    use_panoramic: bool = False
    """Whether images are projected on a sphere, else on a plane (panoramic port)."""
    bbox_mean: tuple[float, ...] = ()
    """Subtracted from codes; empty for unchanged codes."""
    bbox_std: tuple[float, ...] = ()
    """Divisors of codes; empty for unchanged codes."""

    caffe_fields: ClassVar[CaffeFields] = REGRESSION
    bottom_count: ClassVar[Count] = Count(2, 4)
    top_count: ClassVar[Count] = Count(6, 21)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `proposal_target_param` and `bbox_reg_param`. Raises NetcError E103."""
        p = layer.message("proposal_target_param")
        own: dict[str, Any] = {name: p[name] for name in cls.__dataclass_fields__ if name in p}
        return cls(**own, **regression(layer))

    def to_caffe(self) -> dict[str, Any]:
        """`proposal_target_param` and `bbox_reg_param`, by name."""
        return without_regression(super().to_caffe(), "proposal_target_param")

    @property
    def in_space(self) -> bool:
        """Whether the layer is the panoramic port's with targets in three dimensions."""
        return self.output_3d_boxes

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 without classes, E102 if bottoms or tops do not match, E103 for values out of range."""
        self._check()
        in_space = self.in_space
        if len(bottoms) != (4 if in_space else 2):
            what = "regions, objects, projection and model matrices" if in_space else "regions and objects"
            fail(f"expected {what}, got {len(bottoms)} bottoms", field="bottom")
        check_rows(bottoms[0])
        numbers = OBJECT + (POSE if in_space else 0)
        if not bottoms[1] or differ(product(bottoms[1][1:]), numbers):
            fail(f"expected objects of {numbers} numbers, got {text(bottoms[1])}", field="bottom")
        for shape, count in zip(bottoms[2:], MATRICES):
            if not shape or differ(shape[0], self.num_img_per_batch) or differ(product(shape[1:]), count):
                wanted = f"{self.num_img_per_batch} matrices of {count} numbers"
                fail(f"expected {wanted}, got {text(shape)}", field="bottom")
        found = self._shapes()
        if tops > len(found):
            fail(f"expected at most {len(found)} tops, got {tops}", field="top")
        return found

    def _check(self) -> None:
        message = "proposal_target_param"
        if self.cls_num < 2 or self.batch_size < 1 or self.num_img_per_batch < 1:
            for name in ("cls_num", "batch_size", "num_img_per_batch"):
                if getattr(self, name) < (2 if name == "cls_num" else 1):
                    code = "E101" if name == "cls_num" else "E103"
                    fail(f"`{name}` is required and must be positive", code=code, field=f"{message}.{name}")
        if not 0 <= self.fg_fraction <= 1:
            fail("`fg_fraction` must be from 0 to 1", code="E103", field=f"{message}.fg_fraction")
        if not self.fg_thr >= self.bg_thr_hg or not self.fg_thr > 0:
            fail("`fg_thr` must be positive and at least `bg_thr_hg`", code="E103", field=f"{message}.fg_thr")
        for name in ("img_width", "img_height"):
            if getattr(self, name) <= LEAST_SIDE:
                fail(f"`{name}` must be greater than {LEAST_SIDE}", code="E103", field=f"{message}.{name}")
        if self.output_3d_boxes and not (self.has_3d_boxes_and_proj_mat_input and self.bbox_std):
            what = "`output_3d_boxes` needs `has_3d_boxes_and_proj_mat_input` and `bbox_reg_param`"
            fail(what, code="E101", field=f"{message}.output_3d_boxes")
        if self.has_3d_boxes_and_proj_mat_input and not self.output_3d_boxes:
            what = "`has_3d_boxes_and_proj_mat_input` without `output_3d_boxes` is not supported"
            fail(what, code="E106", field=f"{message}.has_3d_boxes_and_proj_mat_input")

    def _shapes(self) -> Shapes:
        def of(columns: int) -> tuple[int, ...]:
            return (self.batch_size, columns, 1, 1)

        first = (of(5), of(1), *(of(4 * self.cls_num),) * 3)
        if not self.in_space:
            return (*first, of(6), of(1))
        weights = (of(1),) * self.output_sample_weight
        return (*first, *pose_shapes(of, self.cls_num), of(6), *weights, (self.batch_size, self.cls_num))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Fifteen operations per region and object."""
        return Cost(operations=15 * product(bottoms[0]) * bottoms[1][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The candidates that are drawn depend on the data, their number does not."""
        import torch

        regions, objects = (bottom.detach().flatten(1) for bottom in bottoms[:2])
        for rows in (regions, objects):
            mode.check_range(rows[:, 0].trunc(), 0, self.num_img_per_batch, "image of a region")
        truths = _by_extent(objects)
        candidates = self._candidates(_by_extent(regions), truths)
        chosen, positives = self._drawn(candidates, objects)
        boxes = torch.cat((candidates.boxes[chosen], self._random(self.batch_size - len(chosen), truths)))
        at = candidates.nearest[chosen[:positives]]
        of_objects, own = boxes[:positives], truths[at]
        labels = boxes.new_zeros(self.batch_size)
        labels[:positives] = objects[at, 5].trunc()
        mode.check_range(labels[:positives], 1, self.cls_num, "class of an object")
        corners = torch.cat((boxes[:, :3], boxes[:, 1:3] + boxes[:, 3:] - 1), 1)
        codes = self._normalized(_codes(of_objects, own))
        inside = self._columns(torch.ones_like(codes), labels)
        overlap = candidates.overlaps[chosen[:positives]]
        matched = boxes.new_zeros(self.batch_size, 6)
        ends = torch.cat((own[:, 1:3], own[:, 1:3] + own[:, 3:] - 1), 1)
        matched[:positives] = torch.cat((labels[:positives, None], ends, overlap[:, None]), 1)
        first = [corners, labels[:, None], self._columns(codes, labels), inside, inside.clone()]
        tops = self._all(first, matched, boxes, [*(b.detach() for b in bottoms[2:]), objects[at]], labels, positives)
        return tuple(top.reshape(shape) for top, shape in zip(tops, self._shapes()))[: mode.tops]

    def _all(
        self,
        first: list[Tensor],
        matched: Tensor,
        boxes: Tensor,
        poses: list[Tensor],
        labels: Tensor,
        positives: int,
    ) -> list[Tensor]:
        """All tops, of any shape."""
        import torch

        if not self.in_space:
            return [*first, matched, self._weights(labels, matched[:, 5])]
        heights = boxes.new_zeros(self.batch_size, self.cls_num)
        rows = torch.arange(positives, device=boxes.device)
        heights[rows, labels[:positives].long().clamp(0, self.cls_num - 1)] = boxes[:positives, 4]
        moments = self.bbox_mean[:2], self.bbox_std[:2]
        targets = pose_targets(boxes[:positives], Poses(*poses), self.use_panoramic, moments)
        more: list[Tensor] = []
        for name, values in targets._asdict().items():
            if name == "quadrant":
                quadrants = boxes.new_full((self.batch_size,), -1)
                quadrants[:positives] = values
                more.append(quadrants)
                continue
            ones = self._columns(torch.ones_like(values), labels)
            more += [self._columns(values, labels), ones, ones.clone()]
        weights = [self._weights(labels, matched[:, 5])] * self.output_sample_weight
        return [*first, *more, matched, *weights, heights]

    def _candidates(self, regions: Tensor, objects: Tensor) -> Candidates:
        import torch

        from netc.functions.boxes import iou

        own = objects[objects[:, 3] != 0] if self.in_space else objects
        boxes = torch.cat((regions, own))
        if not len(objects):
            return Candidates(boxes, boxes.new_zeros(len(boxes)), boxes.new_zeros(len(boxes), dtype=torch.long))
        shared = iou(_corners(boxes), _corners(objects))
        shared = shared.masked_fill(boxes[:, :1] != objects[:, 0], -1)
        most, nearest = shared.max(1)
        return Candidates(boxes, most.clamp(min=0), nearest)

    def _drawn(self, candidates: Candidates, objects: Tensor) -> tuple[Tensor, int]:
        """The candidates that are drawn, those of objects first, and the number of these."""
        import torch

        most = candidates.overlaps
        foreground = most >= self.fg_thr
        background = ~foreground & (most >= self.bg_thr_lw) & (most < self.bg_thr_hg)
        rest = ~foreground & ~background
        if len(objects):
            foreground = foreground & (objects[:, 6] == 0)[candidates.nearest]
        positive = _some(foreground, int(self.fg_fraction * self.batch_size + 0.5))
        negative = _some(background, self.batch_size - len(positive))
        further = rest.nonzero()[:, 0][: self.batch_size - len(positive) - len(negative)]
        return torch.cat((positive, negative, further)), len(positive)

    def _random(self, count: int, objects: Tensor) -> Tensor:
        """Regions (count, 5) at random places, which overlap no object by `fg_thr`."""
        import torch

        from netc.functions.boxes import iou

        found = objects.new_empty(0, 5)
        for _ in range(TRIES):
            if len(found) >= count:
                break
            draws = torch.rand(5, count, device=objects.device, dtype=torch.float64)
            image = (draws[0] * self.num_img_per_batch).floor()
            places = [(draws[1 + i] * (size - LEAST_SIDE)).floor() for i, size in enumerate(self._image)]
            sizes = [
                (draws[3 + i] * (size - at)).floor().clamp(min=LEAST_SIDE)
                for i, (size, at) in enumerate(zip(self._image, places))
            ]
            boxes = torch.stack((image, *places, *sizes), 1).to(objects)
            if len(objects):
                shared = iou(_corners(boxes), _corners(objects)).masked_fill(boxes[:, :1] != objects[:, 0], 0)
                boxes = boxes[shared.amax(1) < self.fg_thr]
            found = torch.cat((found, boxes))
        if len(found) < count:
            fail(f"found no place for a region that overlaps no object by {self.fg_thr:g}", code="E301")
        return found[:count]

    @property
    def _image(self) -> tuple[int, int]:
        return self.img_width, self.img_height

    def _normalized(self, codes: Tensor) -> Tensor:
        if not self.bbox_std:
            return codes
        return (codes - codes.new_tensor(self.bbox_mean)) / codes.new_tensor(self.bbox_std)

    def _columns(self, values: Tensor, labels: Tensor) -> Tensor:
        """Values (p, v) of the first regions in the columns of their classes (k, cls_num, v)."""
        import torch

        result = values.new_zeros(self.batch_size, self.cls_num, values.shape[1])
        rows = torch.arange(len(values), device=values.device)
        result[rows, labels[: len(values)].long().clamp(0, self.cls_num - 1)] = values
        return result

    def _weights(self, labels: Tensor, overlaps: Tensor) -> Tensor:
        """Weights of the regions, those of objects `fg_fraction` of all; all 1 without any of objects."""
        import torch

        positive = labels > 0
        own = torch.where(positive, overlaps, 1) if self.iou_weighted else torch.ones_like(overlaps)
        of_objects = torch.where(positive, own, 0).sum()
        of_background = torch.where(positive, 0, own).sum()
        up = self.fg_fraction * self.batch_size / of_objects
        down = (1 - self.fg_fraction) * self.batch_size / of_background
        return torch.where(of_objects != 0, own * torch.where(positive, up, down), own)


def _some(mask: Tensor, count: int) -> Tensor:
    """The places of a mask; if there are more than `count`, that many at random, in random order."""
    from netc.functions.sampling import random_order

    found = mask.nonzero()[:, 0]
    return found if len(found) <= count else found[random_order(len(found), found.device, count)]


def _by_extent(rows: Tensor) -> Tensor:
    """Rows of image and corners, with the last pixel inside, as image, x, y, width and height."""
    import torch

    return torch.cat((rows[:, :3], rows[:, 3:5] - rows[:, 1:3] + 1), 1)


def _corners(boxes: Tensor) -> Tensor:
    """The corners (b, 4) of boxes of image, x, y, width and height, with the right and lower edge outside."""
    import torch

    return torch.cat((boxes[:, 1:3], boxes[:, 1:3] + boxes[:, 3:]), 1)


def _codes(boxes: Tensor, objects: Tensor) -> Tensor:
    """The codes (p, 4) that move boxes to objects, both of image, x, y, width and height."""
    import torch

    sizes, wanted = boxes[:, 3:], objects[:, 3:]
    moved = (objects[:, 1:3] + 0.5 * wanted - boxes[:, 1:3] - 0.5 * sizes) / sizes
    return torch.cat((moved, (wanted / sizes).log()), 1)
