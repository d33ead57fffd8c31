"""EvalDetection: which boxes of YOLO v2 are right, for the mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from netc.ir.dims import differ, text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.yolo._grid import (
    OBJECTNESS,
    TRUTH,
    CellGrid,
    check_anchors,
    check_prediction,
    check_truths,
    overlaps,
    split,
)
from netc.layers.yolo._rows import are_rows, lists_of_rows, may_be_rows

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 0.005
"""Boxes with a lower score are dropped."""


@register("EvalDetection", dialect="yolo9000", field="eval_detection_param")
@dataclass(frozen=True)
class EvalDetection(Layer):
    """The number of truths of each class, then rows (class, score, right, wrong) of the boxes that YOLO v2 finds.

    Boxes of one class are suppressed by better ones. A box is right if it overlaps the truth that it overlaps most by
    at least `threshold`, and is the best box for it; further ones are wrong, and so are boxes of a class without a
    truth. Boxes that overlap no truth enough are neither, as in the fork. Unused rows are 0.

    Labels are SSD's rows, or lists of truths (class, x, y, width, height) from class 0, as older versions have them.

    Shapes: (n, num_object (5 + num_class), side, side) and SSD's labels (1, 1, m, 8) or n lists; further bottoms are
    not read; to (n, num_class + 4 side^2 num_object).

    >>> layer = EvalDetection(13, 20, 5, biases=(1.0, 2.0) * 5)
    >>> layer.infer(((2, 125, 13, 13), (1, 1, 7, 8)), 1)
    ((2, 3400),)

    Reference: `eval_detection_layer.cpp` of yolo9000's Caffe.
    """

    side: int = 7
    """Extent of the grid."""
    num_class: int = 20
    """Number of classes."""
    num_object: int = 2
    """Number of boxes per cell."""
    threshold: float = 0.5
    """The overlap of a right box with its truth."""
    score_type: Literal["OBJ", "PROB", "MULTIPLY"] = "MULTIPLY"
    """Whether the score is the objectness, that of the class, or their product."""
    nms: float = -1.0
    """A box that overlaps a better one of its class by at least this share is dropped; below 0, nothing is found."""
    biases: tuple[float, ...] = ()
    """Widths and heights of the anchors in cells."""
    sqrt: bool = True
    """Not used."""
    constriant: bool = True
    """Not used."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, -1)
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 or E102 if anchors, channels or labels do not match."""
        scores, labels = bottoms[:2]
        check_anchors(self.biases, self.num_object)
        check_prediction(scores, self.num_object, OBJECTNESS + 1 + self.num_class)
        if differ(scores[2:], (self.side, self.side)):
            fail(f"a prediction of shape {text(scores)} for `side` {self.side}", field="side")
        if not may_be_rows((scores, labels)):
            check_truths((scores, labels))
        return ((scores[0], self.num_class + 4 * self.side**2 * self.num_object),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """About ten operations per element of the prediction."""
        from netc.ir.dims import product

        return Cost(operations=10 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Image by image: the number of boxes of each differs."""
        import torch

        x = bottoms[0].detach()
        labels = bottoms[1].detach()
        is_list = not are_rows([tuple(bottom.shape) for bottom in bottoms])
        lists = labels.reshape(len(x), -1, TRUTH) if is_list else lists_of_rows(labels, len(x), mode)
        lists = lists.to(x.dtype)
        used = self.num_class + 4 * self.side**2 * self.num_object
        tops = x.new_zeros(len(x), used)
        for top, image, truths in zip(tops, self._candidates(x), lists):
            listed = truths[truths[:, 3] > 0]
            mode.check_range(listed[:, 0], 0, self.num_class, "class")
            listed = listed[(listed[:, 0] >= 0) & (listed[:, 0] < self.num_class)]
            rows = self._rows(*image, listed)
            labels = listed[:, 0].long()
            top[: self.num_class] = torch.bincount(labels, minlength=self.num_class)[: self.num_class].to(x.dtype)
            rows = rows.flatten()[: used - self.num_class]
            top[self.num_class : self.num_class + len(rows)] = rows
        return tops

    def _candidates(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each image the boxes (b, 4), by centers, and the scores (c, b), -inf where they are too low."""
        import torch

        parts = split(x, self.num_object)
        grid = CellGrid.of(x, self.biases[: 2 * self.num_object])
        boxes = grid.boxes(parts[:, :, 0].sigmoid(), parts[:, :, 1].sigmoid(), parts[:, :, 2], parts[:, :, 3])
        objectness, classes = parts[:, :, OBJECTNESS].sigmoid().unsqueeze(2), parts[:, :, OBJECTNESS + 1 :].softmax(2)
        both = objectness * classes
        scores = {"OBJ": objectness.expand_as(both), "PROB": classes, "MULTIPLY": both}[self.score_type]
        kept = (both > LEAST) & (objectness >= LEAST) & (scores >= LEAST)
        scores = torch.where(kept, scores, -torch.inf)
        order = scores.permute(0, 2, 3, 4, 1).flatten(2)
        return list(zip(boxes.permute(0, 2, 3, 1, 4).flatten(1, 3), order))

    def _rows(self, boxes: Tensor, scores: Tensor, truths: Tensor) -> Tensor:
        """The rows of the boxes that are kept, by class in descending order of scores."""
        import torch

        if self.nms < 0:
            return boxes.new_zeros(0, 4)
        label, index = self._kept(boxes, scores)
        found = boxes[index]
        shares = overlaps(found.unsqueeze(1), truths[:, 1:].unsqueeze(0))
        shares = torch.where(label[:, None] == truths[:, 0], shares, -1)
        most, best = shares.max(1) if len(truths) else (shares.new_full((len(found),), -1), label)
        near = most >= self.threshold
        right = near & _is_first(torch.where(near, best, -1))
        alone = most < 0
        wrong = (near & ~right) | alone
        columns = label, scores[label, index], right, wrong
        return torch.stack([column.to(boxes.dtype) for column in columns], 1)

    def _kept(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        import numpy as np
        import torch

        from netc.functions.suppression import nms_of_classes

        halves = boxes[:, 2:] / 2
        corners = torch.cat((boxes[:, :2] - halves, boxes[:, :2] + halves), 1)
        below = float(np.nextafter(np.float32(self.nms), np.float32(-np.inf)))
        return nms_of_classes(corners, scores, below, lowest=-torch.inf)


def _is_first(values: Tensor) -> Tensor:
    """Whether a value does not occur before."""
    import torch

    ordered, place = values.sort(stable=True)
    first = torch.ones_like(values, dtype=torch.bool)
    first[place[1:]] = ordered[1:] != ordered[:-1]
    return first
