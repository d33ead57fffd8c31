"""RegionLoss: the loss of YOLO v2, as the ports of darknet compute it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from netc.ir.dims import differ, product, text
from netc.ir.layer import Constant, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import LayerUse, register
from netc.layers.yolo._grid import (
    OBJECTNESS,
    CellGrid,
    Cells,
    Truths,
    check_anchors,
    check_prediction,
    check_truths,
    overlaps,
    size_overlaps,
    split,
)
from netc.layers.yolo._rows import ROW, are_rows, lists_of_rows, may_be_rows, rows_of_lists
from netc.layers.yolo._tree import ClassTree, tree_constant

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = "classes"
"""The constant with the class of each label."""
FAR = 100000
"""A truth whose center is beyond this has only a class."""
LEAST_OBJECTNESS = 0.3
"""What the objectness of a box for such a class is to be at least."""


class ActivatedPrediction(NamedTuple):
    """An activated prediction: position (batch, n, 2, h, w), log size, objectness, classes, and the boxes."""

    position: Tensor
    size: Tensor
    objectness: Tensor
    classes: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class RegionLoss(Layer):
    """Base of both meanings: parameters, activation, and the deltas of objectness and of the assigned cells."""

    num_class: int = 20
    """Number of classes."""
    coords: int = 4
    """Numbers before the objectness and the classes of a box, with the objectness fifth."""
    num: int = 5
    """Number of boxes per cell."""
    bias_match: int = 1
    """Whether truths are assigned by the anchors' sizes; 0 uses those of the predicted boxes."""
    rescore: int = 1
    """Whether the target of the objectness is the overlap with the truth instead of 1."""
    object_scale: float = 1.0
    """Factor of the objectness of assigned boxes."""
    noobject_scale: float = 0.5
    """Factor of the objectness of the others."""
    class_scale: float = 1.0
    """Factor of the classes."""
    coord_scale: float = 5.0
    """Factor of the coordinates."""
    thresh: float = 0.2
    """Boxes that overlap a truth by more have no objectness loss."""
    biases: tuple[float, ...] = ()
    """Widths and heights of the anchors in cells."""
    side: int = 13
    """Extent of the grid; not used where it follows from the bottom."""
    softmax: int = 1
    """Not used: the classes always compete."""
    jitter: float = 0.2
    """Not used."""
    absolute: int = 1
    """Not used."""
    random: int = 1
    """Not used."""

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 or E102 if anchors, channels or labels do not match."""
        check_anchors(self.biases, self.num)
        check_prediction(bottoms[0], self.num, self.coords + self.num_class + 1)
        self._check_labels(bottoms)
        return ((),)

    def _check_labels(self, bottoms: Shapes) -> None:
        check_truths(bottoms)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """About twenty operations per element; comparisons with truths depend on the data."""
        return Cost(operations=20 * product(bottoms[0]))

    def _grid(self, x: Tensor) -> CellGrid:
        return CellGrid.of(x, self.biases[: 2 * self.num])

    def _activated(self, parts: Tensor, grid: CellGrid, mode: Mode) -> ActivatedPrediction:
        position, size = parts[:, :, :2].sigmoid(), parts[:, :, 2:4]
        boxes = grid.boxes(position[:, :, 0], position[:, :, 1], size[:, :, 0], size[:, :, 1])
        classes = self._probabilities(parts[:, :, OBJECTNESS + 1 :][:, :, : self.num_class], mode)
        return ActivatedPrediction(position, size, parts[:, :, OBJECTNESS].sigmoid(), classes, boxes)

    def _probabilities(self, scores: Tensor, mode: Mode) -> Tensor:
        """The probabilities of the classes, axis 2."""
        return scores.softmax(2)

    def _wrong(self, classes: Tensor, labels: Tensor, mode: Mode) -> Tensor:
        """The probabilities (k, classes) of assigned boxes, less what they are to be."""
        return classes - _one_hot(labels, classes)

    def _labels(self, mode: Mode) -> int:
        """Number of labels that truths may have."""
        return self.num_class

    def _without_object(self, region: ActivatedPrediction, truths: Truths) -> Tensor:
        """The deltas of the objectness of boxes that no truth is assigned to."""
        import torch

        objectness = region.objectness
        delta = self.noobject_scale * objectness * objectness * (1 - objectness)
        return torch.where(truths.best_overlap(region.boxes) > self.thresh, 0, delta)

    def _cells(self, region: ActivatedPrediction, truths: Truths, grid: CellGrid) -> Cells:
        """The assigned cells; of several truths in one box the last counts."""
        image, truth = truths.assigned.nonzero(as_tuple=True)
        sizes = truths.boxes[image, truth, 2:]
        cells = Cells.of(grid, truths, image, truth, grid.best_anchor(sizes))
        if not self.bias_match:
            found = region.boxes[image, :, cells.row, cells.column, 2:]
            cells = Cells.of(grid, truths, image, truth, size_overlaps(found, sizes.unsqueeze(1)).argmax(1))
        return cells.last(grid)

    def _targets(self, cells: Cells, truths: Truths, grid: CellGrid) -> tuple[Tensor, Tensor]:
        """The positions within the cell and the logarithmic sizes of the assigned truths."""
        import torch

        truth = truths.boxes[cells.image, cells.truth]
        places = torch.stack((truth[:, 0] * grid.w - cells.column, truth[:, 1] * grid.h - cells.row), -1)
        return places, (truth[:, 2:] / grid.anchors[cells.box]).log()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The gradient is the fork's: its deltas, divided by the number of images."""
        from netc.functions.own_gradient import with_gradient

        x = bottoms[0].detach()
        delta = self._deltas(split(x, self.num), bottoms[1], mode).reshape(x.shape)
        return with_gradient(bottoms[0], self._loss(delta), delta / x.shape[0])

    def _deltas(self, parts: Tensor, labels: Tensor, mode: Mode) -> Tensor:
        """The deltas of each element of a prediction (batch, n, length, h, w)."""
        import torch

        grid = self._grid(parts)
        region = self._activated(parts, grid, mode)
        truths = Truths.of(self._lists(labels, parts.shape[0], mode), self._labels(mode), mode)
        delta = torch.zeros_like(parts)
        delta[:, :, OBJECTNESS] = self._without_object(region, truths)
        self._assign(delta, region, truths, self._cells(region, truths, grid), grid, mode)
        return delta

    def _lists(self, labels: Tensor, images: int, mode: Mode) -> Tensor:
        """The labels as lists of truths."""
        return labels

    def _assign(
        self, delta: Tensor, region: ActivatedPrediction, truths: Truths, cells: Cells, grid: CellGrid, mode: Mode
    ) -> None:
        """Set the deltas of the assigned boxes."""
        image, box, row, column = cells.places
        places, sizes = self._targets(cells, truths, grid)
        position = region.position[image, box, :, row, column]
        scale, slope = self._scale(truths, cells), position * (1 - position)
        delta[image, box, :2, row, column] = scale * self._bounded(position - places) * slope
        size = region.size[image, box, :, row, column]
        delta[image, box, 2:4, row, column] = scale * self._bounded(size - sizes)
        delta[image, box, OBJECTNESS, row, column] = self._with_object(region, truths, cells)
        classes = region.classes[image, box, :, row, column]
        labels = truths.labels[cells.image, cells.truth]
        wrong = self.class_scale * self._wrong(classes, labels, mode)
        delta[image, box, OBJECTNESS + 1 : OBJECTNESS + 1 + self.num_class, row, column] = wrong

    def _scale(self, truths: Truths, cells: Cells) -> float | Tensor:
        """The factor of the deltas of the coordinates."""
        return self.coord_scale

    def _bounded(self, difference: Tensor) -> Tensor:
        """A difference of coordinates, as it counts."""
        return difference

    def _with_object(self, region: ActivatedPrediction, truths: Truths, cells: Cells) -> Tensor:
        """The deltas of the objectness of assigned boxes."""
        raise NotImplementedError

    def _loss(self, delta: Tensor) -> Tensor:
        return delta.square().sum() / delta.shape[0]


@register("RegionLoss", dialect="mobilenet_yolo", field="region_loss_param")
@dataclass(frozen=True)
class RegionLossOfMobileNetYolo(RegionLoss):
    """The loss of YOLO v2: the sum of the squared deltas of position, size, objectness and classes, per image.

    The gradient is the deltas themselves, not the derivative of the loss. Each truth is assigned to one box of the
    cell that contains its center. Labels with 8 columns, SSD's rows, are computed as yolo9000's meaning does.

    Shapes: (n, num (coords + 1 + num_class), h, w) and n lists of truths (class, x, y, width, height), each of which
    ends with a truth of 0, to a scalar.

    >>> layer = RegionLossOfMobileNetYolo(num_class=20, biases=(1.0, 2.0) * 5)
    >>> layer.infer(((4, 125, 13, 13), (4, 1, 300, 5)), 1)
    ((),)

    Reference: `region_loss_layer.cpp` of MobileNet-YOLO; Redmon, Farhadi, YOLO9000, 2016.
    """

    def _check_labels(self, bottoms: Shapes) -> None:
        if are_rows(bottoms):
            self._over_rows()._check_labels(bottoms)
        else:
            check_truths(bottoms)

    def _over_rows(self) -> RegionLoss:
        """The layer with yolo9000's meaning."""
        return RegionLossOfYolo9000(**{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """That of yolo9000 for SSD's rows."""
        if are_rows([tuple(bottom.shape) for bottom in bottoms]):
            return self._over_rows().forward(bottoms, weights, mode)
        return super().forward(bottoms, weights, mode)

    def _scale(self, truths: Truths, cells: Cells) -> float | Tensor:
        truth = truths.boxes[cells.image, cells.truth]
        return self.coord_scale if self.rescore else self.coord_scale * (2 - truth[:, 2:].prod(1, keepdim=True))

    def _with_object(self, region: ActivatedPrediction, truths: Truths, cells: Cells) -> Tensor:
        objectness, boxes = region.objectness[cells.places], region.boxes[cells.places]
        target = overlaps(boxes, truths.boxes[cells.image, cells.truth]) if self.rescore else 1
        return self.object_scale * (objectness - target) * objectness * (1 - objectness)


def _one_hot(labels: Tensor, like: Tensor) -> Tensor:
    import torch.nn.functional as F

    return F.one_hot(labels, like.shape[1]).to(like.dtype)


def has_tree(use: LayerUse) -> bool:
    """Whether a RegionLoss layer has classes in a tree, as only yolo9000's can."""
    p = use.parameters.message("region_loss_param")
    return "softmax_tree" in p or "class_map" in p


@register("RegionLoss", dialect="yolo9000", field="region_loss_param", when=has_tree)
@dataclass(frozen=True)
class RegionLossOfYolo9000(RegionLoss):
    """The loss of YOLO v2 over SSD's labels: the sum of the squared deltas; deltas of coordinates are at most a scale.

    The gradient is the deltas divided by the number of images, not the derivative of the loss. Chosen if
    `softmax_tree` or `class_map` is set.

    With `softmax_tree`, classes exclude those with the same parent, and a truth has deltas for the classes on the path
    to it and for those that these exclude; labels begin at 0, else at 1. An image with a truth whose center is beyond
    100000 has only a class: deltas for the box that is most probably of that class, whose objectness is to be at least
    0.3. `class_map` changes labels into classes, except for such images. Lists of truths (class, x, y, width, height),
    which older versions of the fork read, are rows of labels from 0.

    Shapes: (n, num (coords + 1 + num_class), side, side) and labels (1, 1, m, 8), or n lists, to a scalar.

    >>> layer = RegionLossOfYolo9000(num_class=20, biases=(1.0, 2.0) * 5)
    >>> layer.infer(((4, 125, 13, 13), (1, 1, 7, 8)), 1)
    ((),)

    Reference: `region_loss_layer.cpp` of yolo9000's Caffe; Redmon, Farhadi, YOLO9000, 2016.
    """

    softmax_tree: str = ""
    """File with a tree of the classes: a line for each, with a name and the number of its parent, -1 for none."""
    class_map: str = ""
    """File with the class of each label, one per line."""

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """The parents and the map."""
        parents = (tree_constant(self.softmax_tree),) if self.softmax_tree else ()
        classes = (Constant(CLASSES, self.class_map, is_text=True, column=0),) if self.class_map else ()
        return (*parents, *classes)

    def _check_labels(self, bottoms: Shapes) -> None:
        if not may_be_rows(bottoms):
            check_truths(bottoms)
        for extent in bottoms[0][2:]:
            if differ(extent, self.side):
                fail(f"a prediction of shape {text(bottoms[0])} for `side` {self.side}", field="side")

    def _tree(self, mode: Mode) -> ClassTree:
        return ClassTree.of(self.num_class, mode, "softmax_tree")

    def _probabilities(self, scores: Tensor, mode: Mode) -> Tensor:
        return self._tree(mode).softmax(scores, 2) if self.softmax_tree else super()._probabilities(scores, mode)

    def _labels(self, mode: Mode) -> int:
        return len(mode.constants[CLASSES]) if self.class_map else super()._labels(mode)

    def _wrong(self, classes: Tensor, labels: Tensor, mode: Mode) -> Tensor:
        if self.class_map:
            listed = mode.constants[CLASSES]
            mode.check_range(listed, 0, self.num_class, "class of `class_map`")
            labels = listed.long().clamp(0, self.num_class - 1)[labels]
        return self._tree(mode).wrong(classes, labels) if self.softmax_tree else super()._wrong(classes, labels, mode)

    def _loss(self, delta: Tensor) -> Tensor:
        return delta.square().sum()

    def _lists(self, labels: Tensor, images: int, mode: Mode) -> Tensor:
        return lists_of_rows(labels, images, mode, first=0 if self.softmax_tree else 1)

    def _deltas(self, parts: Tensor, labels: Tensor, mode: Mode) -> Tensor:
        if not are_rows((tuple(parts.shape), tuple(labels.shape))):
            labels = rows_of_lists(labels, first=0 if self.softmax_tree else 1)
        if not self.softmax_tree:
            return super()._deltas(parts, labels, mode)
        rows = labels.reshape(-1, ROW)
        far = ((rows[:, 3:5] + rows[:, 5:7]) / 2 > FAR).all(1) & (rows[:, 0] != -1)
        alone = far.new_zeros(len(parts)).index_put((rows[far, 0].long().clamp(0, len(parts) - 1),), far.new_ones(()))
        of_alone = alone[rows[:, 0].long().clamp(0, len(parts) - 1)] & (rows[:, 0] != -1)
        delta = super()._deltas(parts, rows.masked_fill(of_alone.unsqueeze(1), -1), mode)
        found = lists_of_rows(rows[far], len(parts), mode, first=0)
        image = alone.nonzero()[:, 0]
        if len(image):
            self._classify(delta, parts, image, found[image, 0, 0], mode)
        return delta

    def _classify(self, delta: Tensor, parts: Tensor, image: Tensor, label: Tensor, mode: Mode) -> None:
        """Set the deltas of images whose objects have a class but no box."""
        import torch

        mode.check_range(label, 0, self.num_class, "class")
        label, tree = label.long().clamp(0, self.num_class - 1), self._tree(mode)
        region = self._activated(parts[image], self._grid(parts), mode)
        score = region.objectness
        for one, present in tree.path(label):
            of_class = region.classes[torch.arange(len(image), device=image.device), :, one]
            score = torch.where(present.reshape(-1, 1, 1, 1), score * of_class, score)
        boxes, width = score.shape[1], score.shape[3]
        best = score.permute(0, 2, 3, 1).flatten(1).argmax(1)
        box, place = best % boxes, best // boxes
        row, column = place // width, place % width
        at = (torch.arange(len(image), device=image.device), box, row, column)
        objectness = region.objectness[at]
        low = self.object_scale * (objectness - LEAST_OBJECTNESS) * objectness * (1 - objectness)
        delta[image, box, OBJECTNESS, row, column] = torch.where(objectness < LEAST_OBJECTNESS, low, 0)
        classes = region.classes[at[0], box, :, row, column]
        wrong = self.class_scale * tree.wrong(classes, label)
        delta[image, box, OBJECTNESS + 1 : OBJECTNESS + 1 + self.num_class, row, column] = wrong

    def _bounded(self, difference: Tensor) -> Tensor:
        return difference.clamp(-1, 1)

    def _with_object(self, region: ActivatedPrediction, truths: Truths, cells: Cells) -> Tensor:
        objectness = region.objectness[cells.places]
        return -2 * self.object_scale * (1 - objectness) ** 4 * objectness
