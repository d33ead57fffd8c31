"""YoloDetectionOutput, Yolov3DetectionOutput: the boxes that YOLO finds, after suppression of overlapping ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import UNKNOWN, product
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.yolo._grid import OBJECTNESS, CellGrid, check_anchors, check_prediction, split

if TYPE_CHECKING:
    from torch import Tensor

ROW = 7
"""Numbers of a detection: image, class, score, and the corners."""
SAME = 0.99
"""The overlap of a box with itself is at least this, whatever the rounding."""


@dataclass(frozen=True)
class DetectionsOfYolo(Layer):
    """Base of both: the best of overlapping boxes of all classes, as rows (image, class, score, corners)."""

    num_classes: int = 20
    """Number of classes, without a background."""
    num_box: int = 5
    """Number of boxes per cell."""
    confidence_threshold: float = 0.01
    """Boxes with a lower score are dropped."""
    nms_threshold: float = 0.45
    """A box that overlaps a better one by at least this share is dropped, whatever its class."""
    biases: tuple[float, ...] = ()
    """Widths and heights of the anchors."""

    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 if `num_classes` is missing."""
        if "num_classes" not in layer.message(cls.param_field or ""):
            fail("`num_classes` is missing", code="E101", help=f"set `{cls.param_field} {{ num_classes: ... }}`")
        return super().from_caffe(layer)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The number of detections is unknown. Raises NetcError E101 or E102 if anchors or channels do not match."""
        for bottom in bottoms:
            check_prediction(bottom, self.num_box, self._length)
        return ((1, 1, UNKNOWN, ROW),)

    @property
    def _length(self) -> int:
        return OBJECTNESS + 1 + self.num_classes

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """About ten operations per element; suppression depends on the data."""
        return Cost(operations=10 * sum(map(product, bottoms)))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """One row of -1 per image, with its number, if nothing is found."""
        import torch

        found = [self._found(bottom.detach(), index) for index, bottom in enumerate(bottoms)]
        boxes, scores, labels = (torch.cat(parts) for parts in zip(*found))
        kept = _kept(boxes, scores, self.nms_threshold)
        if not len(kept):
            return _nothing(bottoms[0])
        columns = torch.zeros_like(scores), labels.to(scores.dtype) + 1, scores
        return torch.cat((torch.stack(columns, 1), boxes), 1)[kept].reshape(1, 1, -1, ROW)

    def _found(self, x: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """The corners, scores and classes of the boxes of a bottom above the threshold, in the fork's order."""
        raise NotImplementedError


def _kept(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """The indices of the boxes that no better one overlaps by at least `threshold`, best first."""
    import numpy as np

    from netc.functions.suppression import nms

    below = float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))
    return nms(boxes, scores, below)


def _nothing(like: Tensor) -> Tensor:
    import torch

    rows = like.new_full((like.shape[0], ROW), -1)
    rows[:, 0] = torch.arange(like.shape[0])
    return rows.reshape(1, 1, -1, ROW)


def _corners(boxes: Tensor) -> Tensor:
    import torch

    return torch.cat((boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2), -1)


@register("YoloDetectionOutput", dialect="mobilenet_yolo", field="yolo_detection_output_param")
@dataclass(frozen=True)
class YoloDetectionOutput(DetectionsOfYolo):
    """The boxes that YOLO v2 finds: of each box the best class, then those that no better box overlaps too much.

    Scores are the objectness times the softmax of the classes. Detections of all images of a batch are those of one
    image, 0, as in the fork; classes start at 1.

    Shapes: (n, num_box (coords + 1 + num_classes), h, w), once or twice, to (1, 1, ?, 7).

    >>> YoloDetectionOutput(20, biases=(1.0, 2.0) * 5).infer(((1, 125, 13, 13),), 1)
    ((1, 1, ?, 7),)

    Reference: `yolo_detection_output_layer.cpp` of MobileNet-YOLO.
    """

    coords: int = 4
    """Numbers before the objectness and the classes of a box, with the objectness fifth."""
    side: int = 13
    """Not used: the grid follows from the bottom."""
    label_map_file: str = ""
    """Not used."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, -1)

    @property
    def _length(self) -> int:
        return self.coords + 1 + self.num_classes

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The number of detections is unknown. Raises NetcError E101 or E102 if anchors or channels do not match."""
        check_anchors(self.biases, self.num_box)
        return super().infer(bottoms, tops)

    def _found(self, x: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor]:
        parts = split(x, self.num_box)
        grid = CellGrid.of(x, self.biases[: 2 * self.num_box])
        boxes = grid.boxes(parts[:, :, 0].sigmoid(), parts[:, :, 1].sigmoid(), parts[:, :, 2], parts[:, :, 3])
        classes = parts[:, :, OBJECTNESS + 1 :][:, :, : self.num_classes].softmax(2)
        best, labels = classes.max(2)
        scores = (best * parts[:, :, OBJECTNESS].sigmoid()).permute(0, 2, 3, 1)
        chosen = scores >= self.confidence_threshold
        corners = _corners(boxes).permute(0, 2, 3, 1, 4)
        return corners[chosen], scores[chosen], labels.permute(0, 2, 3, 1)[chosen]


@register("Yolov3DetectionOutput", dialect="mobilenet_yolo", field="yolov3_detection_output_param")
@dataclass(frozen=True)
class Yolov3DetectionOutput(DetectionsOfYolo):
    """The boxes that YOLO v3 finds in predictions at several scales, without those that a better box overlaps too much.

    Scores are the objectness times the logistic function of a class; a box may be found for several classes.
    Detections of all images of a batch are those of one image, 0, as in the fork; classes start at 1.

    Shapes: (n, num_box (5 + num_classes), h, w) for each scale to (1, 1, ?, 7).

    >>> layer = Yolov3DetectionOutput(20, biases=(10.0, 14.0) * 6, mask=(3, 4, 5, 0, 1, 2), anchors_scale=(32, 16))
    >>> layer.infer(((1, 75, 13, 13), (1, 75, 26, 26)), 1)
    ((1, 1, ?, 7),)

    Reference: `yolov3_detection_output_layer.cpp` of MobileNet-YOLO, whose caffe.proto ncnn's converter shares.
    """

    num_box: int = 3
    """Number of boxes per cell."""
    anchors_scale: tuple[int, ...] = ()
    """Pixels per cell of each bottom."""
    mask_group_num: int = 2
    """Number of bottoms: `mask` has as many groups of equal length."""
    mask: tuple[int, ...] = ()
    """Indices of the anchors of each bottom, one group after the other."""

    bottom_count: ClassVar[Count] = Count(1, None)

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """No bottom has one, and there is a scale for each."""
        return tuple(range(len(self.anchors_scale)))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The number of detections is unknown. Raises NetcError E101 or E102 if numbers do not match."""
        if len(bottoms) != self.mask_group_num:
            fail(
                f"expected {counted(self.mask_group_num, 'bottom')}, got {len(bottoms)}",
                code="E101",
                field="mask_group_num",
            )
        if len(self.anchors_scale) < len(bottoms):
            fail(
                f"{counted(len(self.anchors_scale), 'value')} of `anchors_scale` for {counted(len(bottoms), 'bottom')}",
                code="E101",
                field="anchors_scale",
            )
        if len(self.mask) < self._first(len(bottoms) - 1) + self.num_box:
            fail(f"{counted(len(self.mask), 'value')} of `mask` do not suffice", code="E101", field="mask")
        check_anchors(self.biases, max(self.mask, default=0) + 1)
        return super().infer(bottoms, tops)

    def _first(self, index: int) -> int:
        """Where the mask of a bottom starts."""
        return index * (len(self.mask) // self.mask_group_num)

    def _found(self, x: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor]:
        import torch

        parts = split(x, self.num_box)
        mask = self.mask[self._first(index) :][: self.num_box]
        grid = CellGrid.of(x, self.biases, self.anchors_scale[index])
        boxes = grid.boxes(parts[:, :, 0].sigmoid(), parts[:, :, 1].sigmoid(), parts[:, :, 2], parts[:, :, 3], mask)
        objectness = parts[:, :, OBJECTNESS : OBJECTNESS + 1].sigmoid()
        scores = (parts[:, :, OBJECTNESS + 1 :].sigmoid() * objectness).permute(0, 3, 4, 1, 2)
        found = scores > self.confidence_threshold
        if self.nms_threshold <= SAME:  # the classes of a box suppress each other: the best one remains
            best = scores.argmax(-1, keepdim=True)
            found = found & (best == torch.arange(scores.shape[-1], device=best.device))
        image, row, column, box, label = found.nonzero(as_tuple=True)
        corners = _corners(boxes)[image, box, row, column]
        return corners, scores[image, row, column, box, label], label


@register("Yolov3Detection", dialect="caffe_train", field="yolov3_detection_output_param")
@dataclass(frozen=True)
class Yolov3Detection(Yolov3DetectionOutput):
    """Yolov3DetectionOutput under another name.

    Shapes: (n, num_box (5 + num_classes), h, w) for each scale to (1, 1, ?, 7).

    >>> layer = Yolov3Detection(20, biases=(10.0, 14.0) * 3, mask=(0, 1, 2), anchors_scale=(32,), mask_group_num=1)
    >>> layer.infer(((1, 75, 13, 13),), 1)
    ((1, 1, ?, 7),)

    Reference: `Yolov3DetectionLayer.cpp` of yuqj1991's caffe_train.
    """
