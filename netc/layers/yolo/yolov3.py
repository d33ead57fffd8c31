"""Yolov3 and GaussianYolov3: the losses of YOLO v3, as MobileNet-YOLO computes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

from netc.ir.dims import product
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import register
from netc.layers.yolo._grid import (
    CellGrid,
    Cells,
    Truths,
    check_anchors,
    check_prediction,
    check_truths,
    general_overlaps,
    overlaps,
    split,
)

if TYPE_CHECKING:
    from torch import Tensor

FOCAL_SCALE = 0.5
"""Factor of the focal loss's deltas."""


class Prediction(NamedTuple):
    """An activated prediction, and what the layer does with it."""

    parts: Tensor
    """(batch, n, length, h, w): logistic but for the logarithms of the sizes."""
    boxes: Tensor
    grid: CellGrid


@dataclass(frozen=True)
class YoloLoss(Layer):
    """Base of Yolov3 and GaussianYolov3: parameters, and the deltas of objectness and classes."""

    num_class: int = 20
    """Number of classes."""
    num: int = 3
    """Number of boxes per cell."""
    object_scale: float = 1.0
    """Factor of the objectness of assigned boxes, with `use_logic_gradient`."""
    class_scale: float = 1.0
    """Factor of the classes."""
    noobject_scale: float = 0.5
    """Not used."""
    coord_scale: float = 5.0
    """Factor of the coordinates, further multiplied by 2 less the area of the truth."""
    thresh: float = 0.2
    """Boxes that overlap a truth by more have no objectness loss."""
    anchors_scale: int = 32
    """Pixels per cell."""
    biases: tuple[float, ...] = ()
    """Widths and heights of all anchors in pixels."""
    mask: tuple[int, ...] = ()
    """Indices of the anchors of this layer, one per box."""
    use_logic_gradient: bool = False
    """Whether the gradient is multiplied by the logistic function's derivative."""
    use_focal_loss: bool = False
    """Whether the deltas of the classes are those of the focal loss."""
    iou_loss: Literal["MSE", "IOU", "GIOU"] = "MSE"
    """Whether the loss of the boxes is the squared error or 1 less an overlap."""
    iou_normalizer: float = 0.75
    """Factor of the latter."""
    iou_thresh: float = 1.0
    """A truth is also assigned to the layer's other anchors that overlap it by more."""
    label_smooth_eps: float = 0.1
    """Share of a class's target that is 0.5 instead of 0 or 1; not with the focal loss."""
    side: int = 13
    """Not used."""

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    coordinates: ClassVar[int] = 4
    """Channels of a box before its objectness."""
    sizes: ClassVar[tuple[int, int]] = (2, 3)
    """Of these, the logarithms of width and height."""
    smooths: ClassVar[bool] = True
    """Whether the fork smooths the labels."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E106 for `scale_x_y`, which only other forks have."""
        if "scale_x_y" in layer.message("yolov3_param"):
            fail("`scale_x_y` is not supported", code="E106", field="scale_x_y")
        return super().from_caffe(layer)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 or E102 if anchors, channels or labels do not match."""
        if len(self.mask) < self.num:
            fail(f"`mask` names {len(self.mask)} of the {self.num} anchors", code="E101", field="mask")
        check_anchors(self.biases, max(self.mask, default=0) + 1)
        check_prediction(bottoms[0], self.num, self.coordinates + 1 + self.num_class)
        check_truths(bottoms)
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """About twenty operations per element; comparisons with truths depend on the data."""
        return Cost(operations=20 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The gradient is the fork's: its deltas, divided by the number of images."""
        import torch

        from netc.functions.own_gradient import with_gradient

        x = bottoms[0].detach()
        found = self._activated(x)
        truths = Truths.of(bottoms[1], self.num_class, mode)
        delta = torch.zeros_like(found.parts)
        objectness = found.parts[:, :, self.coordinates]
        ignored = truths.best_overlap(found.boxes) > self.thresh
        delta[:, :, self.coordinates] = torch.where(ignored, 0, objectness)
        cells = self._cells(truths, found.grid)
        self._assign(delta, found, truths, cells)
        loss = self._loss(delta, found, truths, cells)
        gradient = delta * self._slope(found.parts) if self.use_logic_gradient else delta
        return with_gradient(bottoms[0], loss, gradient.reshape(x.shape) / x.shape[0])

    def _activated(self, x: Tensor) -> Prediction:
        parts = split(x, self.num)
        width, height = self.sizes
        active = parts.sigmoid()
        active[:, :, width], active[:, :, height] = parts[:, :, width], parts[:, :, height]
        grid = CellGrid.of(x, self.biases, self.anchors_scale)
        column, row = self._centers
        mask = self.mask[: self.num]
        boxes = grid.boxes(active[:, :, column], active[:, :, row], active[:, :, width], active[:, :, height], mask)
        return Prediction(active, boxes, grid)

    @property
    def _centers(self) -> tuple[int, int]:
        """The channels of x and y."""
        return 0, self.sizes[0] // 2

    def _slope(self, parts: Tensor) -> Tensor:
        slope = parts * (1 - parts)
        slope[:, :, self.sizes[0]] = 1
        slope[:, :, self.sizes[1]] = 1
        return slope

    def _cells(self, truths: Truths, grid: CellGrid) -> Cells:
        """The assigned cells: of each truth the anchor that overlaps it most, and those above `iou_thresh`."""
        import torch

        image, truth = truths.assigned.nonzero(as_tuple=True)
        shares = grid.anchor_overlaps(truths.boxes[image, truth, 2:])
        best = shares.argmax(1)
        box = torch.full((grid.anchors.shape[0],), -1, device=best.device)
        box[list(self.mask[: self.num])] = torch.arange(self.num, device=best.device)
        chosen = torch.nn.functional.one_hot(best, shares.shape[1]).bool()
        if self.iou_thresh < 1:
            chosen = chosen | (shares > self.iou_thresh)
        which, anchor = (chosen & (box >= 0)).nonzero(as_tuple=True)
        return Cells.of(grid, truths, image[which], truth[which], box[anchor])

    def _assign(self, delta: Tensor, found: Prediction, truths: Truths, cells: Cells) -> None:
        last = cells.last(found.grid)
        image, box, row, column = last.places
        scale = self.object_scale if self.use_logic_gradient else 1.0
        missing = 1 - found.parts[image, box, self.coordinates, row, column]
        delta[image, box, self.coordinates, row, column] = -scale * missing
        delta[image, box, : self.coordinates, row, column] = self._box_deltas(found, truths, last)
        self._assign_classes(delta, found, truths, cells)

    def _assign_classes(self, delta: Tensor, found: Prediction, truths: Truths, cells: Cells) -> None:
        """The first truth of a box sets the deltas of all classes, later ones that of their own class."""
        import torch.nn.functional as F

        first = self.coordinates + 1
        is_first = cells.first(found.grid)
        image, box, row, column = cells.where(is_first).places
        scores = found.parts[image, box, first:, row, column]
        labels = truths.labels[cells.image, cells.truth]
        target = F.one_hot(labels[is_first], self.num_class).to(scores.dtype)
        if self.use_focal_loss:
            right = scores.gather(1, labels[is_first][:, None]) + 1e-15
            focus = -FOCAL_SCALE * (1 - right) * (2 * right * right.log() + right - 1)
            delta[image, box, first:, row, column] = self.class_scale * (scores - target) * focus
        else:
            delta[image, box, first:, row, column] = self.class_scale * (scores - self._smoothed(target))
        self._assign_later(delta, found, labels[~is_first], cells.where(~is_first))

    def _assign_later(self, delta: Tensor, found: Prediction, labels: Tensor, cells: Cells) -> None:
        image, box, row, column = cells.places
        channel = self.coordinates + 1 + labels
        score = found.parts[image, box, channel, row, column]
        right = self._smoothed(score.new_ones(()))
        scale = self.class_scale if self.smooths else 1.0
        delta[image, box, channel, row, column] = scale * (score - right)

    def _smoothed(self, target: Tensor) -> Tensor:
        share = self.label_smooth_eps if self.smooths else 0.0
        return target * (1 - share) + 0.5 * share

    def _box_deltas(self, found: Prediction, truths: Truths, cells: Cells) -> Tensor:
        """The deltas (assignments, coordinates) of the coordinates."""
        raise NotImplementedError

    def _targets(self, found: Prediction, truths: Truths, cells: Cells) -> Tensor:
        """The targets (assignments, 4) of position and logarithmic size."""
        import torch

        truth, grid = truths.boxes[cells.image, cells.truth], found.grid
        sizes = (truth[:, 2:] / grid.chosen(self.mask)[cells.box]).log()
        return torch.stack(
            (truth[:, 0] * grid.w - cells.column, truth[:, 1] * grid.h - cells.row, sizes[:, 0], sizes[:, 1]), 1
        )

    def _scale(self, truths: Truths, cells: Cells) -> Tensor:
        """The factor (assignments, 1) of the deltas of the coordinates: small boxes count more."""
        truth = truths.boxes[cells.image, cells.truth]
        return self.coord_scale * (2 - truth[:, 2:].prod(1, keepdim=True))

    def _loss(self, delta: Tensor, found: Prediction, truths: Truths, cells: Cells) -> Tensor:
        raise NotImplementedError

    def _mean_missing(self, found: Prediction, truths: Truths, cells: Cells, general: bool) -> Tensor:
        """1 less the overlap of assigned boxes with their truths, on average; 0 without any."""
        share = general_overlaps if general else overlaps
        missing = 1 - share(found.boxes[cells.places], truths.boxes[cells.image, cells.truth])
        return missing.sum() / max(len(missing), 1)


@register("Yolov3", dialect="mobilenet_yolo", field="yolov3_param")
@dataclass(frozen=True)
class Yolov3(YoloLoss):
    """The loss of YOLO v3: the sum of the squared deltas of position, size, objectness and classes, per image.

    The gradient is the deltas themselves, not the derivative of the loss. Each truth is assigned to the anchor, of all
    in `biases`, that overlaps it most, if `mask` names it. With `iou_loss` the boxes' part is 1 less the overlap.

    Shapes: (n, num (5 + num_class), h, w) and n lists of truths (class, x, y, width, height), each of which ends with
    a truth of 0, to a scalar.

    >>> layer = Yolov3(num_class=20, biases=(10.0, 14.0) * 6, mask=(3, 4, 5))
    >>> layer.infer(((4, 75, 13, 13), (4, 1, 300, 5)), 1)
    ((),)

    Reference: `yolov3_layer.cpp` of MobileNet-YOLO; Redmon, Farhadi, YOLOv3, 2018.
    """

    def _box_deltas(self, found: Prediction, truths: Truths, cells: Cells) -> Tensor:
        image, box, row, column = cells.places
        values = found.parts[image, box, : self.coordinates, row, column]
        if self.iou_loss == "MSE":
            return self._scale(truths, cells) * (values - self._targets(found, truths, cells))
        gradient = overlap_gradient(
            found.boxes[cells.places], truths.boxes[cells.image, cells.truth], self.iou_loss == "GIOU"
        )
        gradient[:, 2:] *= values[:, 2:].exp()
        return -self.iou_normalizer * gradient

    def _loss(self, delta: Tensor, found: Prediction, truths: Truths, cells: Cells) -> Tensor:
        if self.iou_loss == "MSE":
            return delta.square().sum() / len(delta)
        rest = delta[:, :, self.coordinates :].square().sum()
        missing = self._mean_missing(found, truths, cells, self.iou_loss == "GIOU")
        return (rest + self.iou_normalizer * missing) / len(delta)


def overlap_gradient(boxes: Tensor, truths: Tensor, general: bool) -> Tensor:
    """Return the gradient of the (generalized) overlap of boxes (a, 4) with truths, at x, y, width and height.

    Unlike the overlap itself it is not 0 for boxes that do not touch: their common extents are negative.
    """
    import torch

    with torch.enable_grad():
        free = boxes.detach().clone().requires_grad_()
        low, high = free[:, :2] - free[:, 2:] / 2, free[:, :2] + free[:, 2:] / 2
        first, last = truths[:, :2] - truths[:, 2:] / 2, truths[:, :2] + truths[:, 2:] / 2
        common = (_least(high, last) - _greatest(low, first)).prod(1)
        union = free[:, 2:].prod(1) + truths[:, 2:].prod(1) - common
        share = torch.where(union > 0, common / union, 0)
        if general:
            enclosing = (_greatest(high, last) - _least(low, first)).prod(1)
            share = share + torch.where(enclosing > 0, union / enclosing, 0)
        (gradient,) = torch.autograd.grad(share.sum(), free)
    return gradient


def _least(free: Tensor, other: Tensor) -> Tensor:
    """The smaller value, whose gradient is that of `other` where both are equal."""
    import torch

    return torch.where(free < other, free, other)


def _greatest(free: Tensor, other: Tensor) -> Tensor:
    import torch

    return torch.where(free > other, free, other)


SIGMA = 0.3
"""Added to a standard deviation in the normal density."""
LEAST = 1e-9
"""Added to a density before it divides."""


@register("GaussianYolov3", dialect="mobilenet_yolo", field="yolov3_param")
@dataclass(frozen=True)
class GaussianYolov3(YoloLoss):
    """YOLO v3's loss with a standard deviation for each coordinate, whose deltas are those of a normal density.

    Channels of a box are x, its deviation, y, its deviation, and so on for width and height. The loss is the sum of the
    squared deltas per image, and the mean of 1 less the overlap of assigned boxes times `iou_normalizer`, per image.

    Shapes: (n, num (9 + num_class), h, w) and n lists of truths (class, x, y, width, height), each of which ends with
    a truth of 0, to a scalar.

    >>> layer = GaussianYolov3(num_class=20, biases=(10.0, 14.0) * 6, mask=(3, 4, 5))
    >>> layer.infer(((4, 87, 13, 13), (4, 1, 300, 5)), 1)
    ((),)

    Reference: `gaussian_yolov3_layer.cpp` of MobileNet-YOLO; Choi et al., Gaussian YOLOv3, 2019.
    """

    coordinates: ClassVar[int] = 8
    sizes: ClassVar[tuple[int, int]] = (4, 6)
    smooths: ClassVar[bool] = False

    def _box_deltas(self, found: Prediction, truths: Truths, cells: Cells) -> Tensor:
        import torch

        image, box, row, column = cells.places
        values = found.parts[image, box, : self.coordinates, row, column].reshape(-1, 4, 2)
        mean, deviation = values.unbind(2)
        far = (self._targets(found, truths, cells) - mean) / deviation
        density = (far.square() / -2).exp() / (math.sqrt(2 * math.pi) * (deviation + SIGMA))
        weight = 0.5 * density / (density + LEAST) * self._scale(truths, cells)
        deltas = far / deviation, far.square() / deviation - 1 / (deviation + SIGMA)
        return -(torch.stack(deltas, 2) * weight.unsqueeze(2)).flatten(1)

    def _loss(self, delta: Tensor, found: Prediction, truths: Truths, cells: Cells) -> Tensor:
        missing = self._mean_missing(found, truths, cells, general=False)
        return (delta.square().sum() + self.iou_normalizer * missing) / len(delta)
