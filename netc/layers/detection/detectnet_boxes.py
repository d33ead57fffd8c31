"""The Python layers of NVIDIA's DetectNet: boxes from maps of coverage, their score, and mean average precision.

Their `param_str` is a list of numbers, separated by commas.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from netc.diagnostics import counted
from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._python_replacement import PythonReplacement
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

BOXES = 50
"""Boxes of an image in a list; the original fails for more, here the first are kept."""
COLUMNS = 5
"""Left, top, right and bottom in pixels, and a number."""
OVERLAP = 0.7
"""Overlap from which a box is detected."""
TRUE_POSITIVE, FALSE_POSITIVE, MISSED = 1, 2, 3
FIELD = "python_param.param_str"


@dataclass(frozen=True)
class _Numbers(PythonReplacement):
    """Base of layers whose `param_str` is a list of numbers."""

    top_count: ClassVar[Count] = Count(1)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def _read(cls, text: str) -> dict[str, Any]:
        words = [word.strip() for word in text.split(",")] if text.strip() else []
        fields = cls._own_fields()
        required = [f for f in fields if not f.metadata.get("optional")]
        if len(words) < len(required):
            names = ", ".join(f"`{f.name}`" for f in fields)
            message = f"expected {counted(len(fields), 'number')} in `param_str`: {names}"
            fail(message, code="E103", field=FIELD)
        found = {}
        for f, word in zip(fields, words):
            try:
                found[f.name] = float(word) if isinstance(f.default, float) else int(word)
            except ValueError:
                what = "a number" if isinstance(f.default, float) else "an integer"
                fail(f"`{f.name}` in `param_str` is `{word[:40]}`: expected {what}", code="E103", field=FIELD)
        return found

    @classmethod
    def _own_fields(cls) -> list[dataclasses.Field[Any]]:
        base = {f.name for f in dataclasses.fields(PythonReplacement)}
        return [f for f in dataclasses.fields(cls) if f.name not in base]

    def _text(self) -> str:
        values = {f.name: getattr(self, f.name) for f in self._own_fields()}
        try:
            kept = {f.name: f.default for f in self._own_fields()} | self._read(self.param_str)
        except ValueError:
            kept = {}
        return self.param_str if kept == values else ", ".join(f"{value!r}" for value in values.values())


@dataclass(frozen=True)
class _Clusters(_Numbers):
    """Base of layers that turn maps of coverage and of boxes into lists of boxes."""

    image_size_x: int = 0
    """Width of the images."""
    image_size_y: int = 0
    """Height of the images."""
    stride: int = 0
    """Pixels per position of the maps."""

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, None)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)

    @property
    def classes(self) -> int:
        """Number of classes, the last number in `param_str`."""
        return int(self.num_classes)  # type: ignore[attr-defined]

    @property
    def cells(self) -> tuple[int, int]:
        """Height and width of a position, in pixels."""
        down, across = self.image_size_y // self.stride, self.image_size_x // self.stride
        return self.image_size_y // down, self.image_size_x // across

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms or tops that do not match the classes, E103 for sizes out of range."""
        if not 0 < self.stride <= min(self.image_size_x, self.image_size_y):
            fail("the stride must be positive, and at most the size of images", code="E103", field=FIELD)
        coverage, boxes = bottoms
        grids = (coverage[2:], boxes[2:])
        if len(coverage) != 4 or len(boxes) != 4 or differ(*grids) or differ(coverage[0], boxes[0]):
            fail(f"coverage {text(coverage)} and boxes {text(boxes)} do not match", field="bottom")
        if differ(coverage[1], self.classes) or differ(boxes[1], 4):
            what = f"coverage {text(coverage)} and boxes {text(boxes)}"
            fail(f"expected {counted(self.classes, 'map')} of coverage and 4 of boxes, got {what}", field="bottom")
        if tops != self.classes:
            wanted = f"one per class of `param_str`, which has {self.classes}"
            fail(f"expected {counted(self.classes, 'top')}, {wanted}, got {tops}", field="top")
        return ((coverage[0], BOXES, COLUMNS),) * tops

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Five operations per position and class; clustering depends on the data."""
        return Cost(operations=5 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The number of boxes depends on the data."""
        import torch

        coverage, boxes = (bottom.detach() for bottom in bottoms)
        height, width = self.cells
        # As in the original, the width of the grid limits the rows, not the columns.
        rows = min(self.image_size_y // self.stride, self.image_size_x // self.stride, coverage.shape[2])
        coverage, boxes = coverage[:, :, :rows], boxes[:, :, :rows]
        y, x = (torch.arange(extent, device=boxes.device).to(boxes) for extent in boxes.shape[2:])
        across, down = (x * width).expand(rows, -1), (y * height)[:, None].expand(rows, len(x))
        moved = boxes + torch.stack((across, down, across, down))
        tops = coverage.new_zeros(self.classes, coverage.shape[0], BOXES, COLUMNS)
        for number in range(self.classes):
            for item in range(coverage.shape[0]):
                found = self.found(moved[item, :, self.covered(coverage[item, number])].T)[:BOXES]
                # The original holds boxes in 16 bits.
                tops[number, item, : len(found), : found.shape[1]] = found.half().to(tops)
        return tuple(tops)

    def covered(self, coverage: Tensor) -> Tensor:
        """Positions (h, w) whose boxes are used."""
        raise NotImplementedError

    def found(self, boxes: Tensor) -> Tensor:
        """The rows of a list, for the boxes (k, 4) of one image."""
        raise NotImplementedError


@register(
    "Python", dialect="nvidia", field="python_param", python=("caffe.layers.detectnet.clustering.ClusterDetections",)
)
@dataclass(frozen=True)
class ClusterDetections(_Clusters):
    """Boxes from maps of coverage and of boxes: similar boxes of covered positions are grouped as by OpenCV.

    The maps of boxes are distances of the sides to each position's pixels. A group has the mean of its boxes, in whole
    pixels, and the logarithm of their number as confidence.

    Shapes: coverage (n, num_classes, h, w) and boxes (n, 4, h, w) to one list (n, 50, 5) per class, filled up with 0.

    >>> ClusterDetections(1248, 384, 16, 0.6, 3, 0.02, 22).infer(((2, 1, 24, 78), (2, 4, 24, 78)), 1)
    ((2, 50, 5),)

    Reference: `clustering.py` of NVIDIA/caffe, caffe-0.16, python/caffe/layers/detectnet; groupRectangles of OpenCV.
    """

    gridbox_cvg_threshold: float = 0.0
    """Coverage from which a position has a box."""
    gridbox_rect_thresh: int = 0
    """Groups have more boxes than this."""
    gridbox_rect_eps: float = 0.0
    """How far sides of similar boxes may differ, as a fraction of their size."""
    min_height: int = 0
    """Smallest height of a group, in pixels."""
    num_classes: int = dataclasses.field(default=1, metadata={"optional": True})
    """Number of classes."""

    def covered(self, coverage: Tensor) -> Tensor:
        """See the base class."""
        return coverage >= self.gridbox_cvg_threshold

    def found(self, boxes: Tensor) -> Tensor:
        """See the base class."""
        import torch

        from netc.functions.group_rectangles import group_rectangles

        if not boxes.any():
            return boxes.new_zeros(0, COLUMNS)
        # The original passes corners where OpenCV expects an origin and a size.
        groups, sizes = group_rectangles(boxes.trunc().long(), self.gridbox_rect_thresh, self.gridbox_rect_eps)
        high = groups[:, 3] - groups[:, 1] >= self.min_height
        return torch.cat((groups, sizes.double().log()[:, None]), 1)[high]


@register(
    "Python", dialect="nvidia", field="python_param", python=("caffe.layers.detectnet.clustering.ClusterGroundtruth",)
)
@dataclass(frozen=True)
class ClusterGroundtruth(_Clusters):
    """The different boxes of a DetectNetTransformation layer's maps, in ascending order.

    The original has the same boxes in the order of a Python set.

    Shapes: coverage (n, num_classes, h, w) and boxes (n, 4, h, w) to one list (n, 50, 5) per class, filled up with 0.

    >>> ClusterGroundtruth(1248, 384, 16, 2).infer(((2, 2, 24, 78), (2, 4, 24, 78)), 2)
    ((2, 50, 5), (2, 50, 5))

    Reference: `clustering.py` of NVIDIA/caffe, caffe-0.16, python/caffe/layers/detectnet.
    """

    num_classes: int = dataclasses.field(default=1, metadata={"optional": True})
    """Number of classes."""

    def covered(self, coverage: Tensor) -> Tensor:
        """See the base class."""
        return coverage > 0

    def found(self, boxes: Tensor) -> Tensor:
        """See the base class."""
        import torch

        found: Tensor = torch.unique(boxes, dim=0)
        return found


def _check_lists(bottoms: Shapes) -> None:
    for shape in bottoms:
        if len(shape) != 3 or differ(shape[2], COLUMNS):
            fail(f"expected lists of boxes (n, boxes, {COLUMNS}), got {text(shape)}", field="bottom")
    if differ(bottoms[0][0], bottoms[-1][0]):
        fail(f"{text(bottoms[0])} and {text(bottoms[-1])} have lists of different images", field="bottom")


@register("Python", dialect="nvidia", field="python_param", python=("caffe.layers.detectnet.mean_ap.ScoreDetections",))
@dataclass(frozen=True)
class ScoreDetections(_Numbers):
    """Marks boxes: 1 for a detection of an object, 2 for one of nothing, 3 for an object that was not detected.

    Each object in its order takes the first free detection that overlaps it by 0.7.

    Shapes: objects (n, a, 5) and detections (n, b, 5) to (n, 50, 5).

    >>> ScoreDetections().infer(((2, 50, 5), (2, 50, 5)), 1)
    ((2, 50, 5),)

    Reference: `mean_ap.py` of NVIDIA/caffe, caffe-0.16, python/caffe/layers/detectnet.
    """

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms that are not lists of boxes."""
        _check_lists(bottoms)
        return ((bottoms[0][0], BOXES, COLUMNS),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Fifteen operations per object and detection."""
        return Cost(operations=15 * product(bottoms[0][:2]) * bottoms[1][1])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The marks depend on the order of the boxes."""
        import torch
        import torch.nn.functional as F

        from netc.functions.boxes import iou

        objects, detections = (bottom.detach()[..., :4] for bottom in bottoms)
        is_object, is_detection = ((boxes != 0).any(2) for boxes in (objects, detections))
        near = torch.stack([iou(a, b) for a, b in zip(objects, detections)]) >= OVERLAP
        near &= is_object[:, :, None] & is_detection[:, None]
        taken, missed = torch.zeros_like(is_detection), is_object.clone()
        for number in range(near.shape[1]):
            free = near[:, number] & ~taken
            first = free & (free.cumsum(1) == 1)
            taken |= first
            missed[:, number] &= ~first.any(1)
        marks = torch.cat(
            (torch.where(taken, TRUE_POSITIVE, FALSE_POSITIVE), torch.full_like(missed, MISSED, dtype=torch.int64)), 1
        )
        marks = marks.masked_fill(~torch.cat((is_detection, missed), 1), MISSED + 1)
        order = marks.argsort(dim=1, stable=True)
        rows = torch.cat((torch.cat((detections, objects), 1), marks.to(objects)[..., None]), 2)
        rows = rows.masked_fill((marks > MISSED)[..., None], 0)
        rows = rows.gather(1, order[..., None].expand(-1, -1, COLUMNS))
        return F.pad(rows, (0, 0, 0, max(0, BOXES - rows.shape[1])))[:, :BOXES]


@register("Python", dialect="nvidia", field="python_param", python=("caffe.layers.detectnet.mean_ap.mAP",))
@dataclass(frozen=True)
class MeanAveragePrecision(_Numbers):
    """Precision, recall, and their product as mean average precision, in percent, of marked boxes.

    Shapes: (n, boxes, 5) to mean average precision, precision and recall, (1) each.

    >>> MeanAveragePrecision().infer(((2, 50, 5),), 3)
    ((1,), (1,), (1,))

    Reference: `mean_ap.py` of NVIDIA/caffe, caffe-0.16, python/caffe/layers/detectnet.
    """

    bottom_count: ClassVar[Count] = Count(1)
    top_count: ClassVar[Count] = Count(3)
    no_gradient: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom that is not a list of boxes."""
        _check_lists(bottoms)
        return ((1,),) * 3

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three comparisons per box."""
        return Cost(operations=3 * product(bottoms[0][:2]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """0 where nothing is divided."""
        marks = bottoms[0].detach()[..., 4]
        right, wrong, missed = ((marks == mark).sum().to(marks) for mark in (TRUE_POSITIVE, FALSE_POSITIVE, MISSED))
        precision, recall = (100 * right / (right + other).clamp(min=1) for other in (wrong, missed))
        return tuple(value.reshape(1) for value in (precision * recall / 100, precision, recall))
