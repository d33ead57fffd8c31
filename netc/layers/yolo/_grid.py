"""What YOLO's layers share: predictions for the cells of a grid, boxes given by centers, and lists of truths.

A prediction of YOLO has n boxes per cell, each with `length` channels: (batch, n * length, h, w). A box is (x, y,
width, height) in fractions of the image, x and y of its center. A list of truths is (batch, t, 5): class, x, y, width,
height.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.layer import Mode, Shapes, fail

if TYPE_CHECKING:
    from torch import Tensor

TRUTH = 5
"""Numbers of a truth."""
OBJECTNESS = 4
"""Channel of a box that scores whether there is an object, after its four coordinates."""


def check_prediction(shape: Shape, boxes: int, length: int) -> None:
    """Raise NetcError E102 unless a bottom has the channels of `boxes` boxes."""
    if len(shape) != 4:
        fail(f"expected a prediction with 4 axes, got {text(shape)}", field="bottom")
    if differ(shape[1], boxes * length):
        fail(
            f"{counted(shape[1], 'channel')} for {counted(boxes, 'box')} of {length} numbers each: "
            f"expected {boxes * length}",
            field="bottom",
        )


def check_anchors(biases: Sequence[float], least: int) -> None:
    """Raise NetcError E101 unless there are as many anchors, two numbers each."""
    if len(biases) % 2 or len(biases) < 2 * least:
        fail(
            f"{counted(len(biases), 'value')} of `biases` for {counted(least, 'anchor')} of 2 numbers each",
            code="E101",
            field="biases",
        )


def check_truths(bottoms: Shapes) -> None:
    """Raise NetcError E102 unless the second bottom lists truths for each item of the first."""
    scores, truths = bottoms
    if not truths or differ(truths[0], scores[0]):
        fail(f"labels of shape {text(truths)} for a batch of {scores[0]}", field="bottom")
    if differ(product(truths[1:]) % TRUTH, 0):
        fail(f"labels of shape {text(truths)} do not hold {TRUTH} numbers per truth", field="bottom")


def split(x: Tensor, boxes: int) -> Tensor:
    """View a prediction (batch, n * length, h, w) as (batch, n, length, h, w)."""
    return x.reshape(x.shape[0], boxes, x.shape[1] // boxes, *x.shape[2:])


@dataclass(frozen=True)
class CellGrid:
    """The cells of a prediction, and the sizes of its anchors in fractions of the image."""

    h: int
    w: int
    anchors: Tensor
    """(n, 2): width and height."""

    @classmethod
    def of(cls, x: Tensor, biases: Sequence[float], scale: float = 1.0) -> CellGrid:
        """The grid of a tensor whose last axes are h and w; anchors are in units of cells / `scale`."""
        import torch

        h, w = x.shape[-2:]
        units = torch.tensor([w * scale, h * scale], dtype=x.dtype, device=x.device)
        anchors = torch.tensor(biases, dtype=x.dtype, device=x.device).reshape(-1, 2) / units
        return cls(h, w, anchors)

    def boxes(self, x: Tensor, y: Tensor, width: Tensor, height: Tensor, mask: Sequence[int] | None = None) -> Tensor:
        """The boxes (batch, n, h, w, 4) of coordinates (batch, n, h, w).

        x and y are relative to the cell, width and height logarithms of ratios to the anchors that `mask` chooses.
        """
        import torch

        columns = torch.arange(self.w, dtype=x.dtype, device=x.device)
        rows = torch.arange(self.h, dtype=x.dtype, device=x.device)[:, None]
        anchors = self.chosen(mask)[:, :, None, None]
        parts = (
            (columns + x) / self.w,
            (rows + y) / self.h,
            width.exp() * anchors[:, 0],
            height.exp() * anchors[:, 1],
        )
        return torch.stack(parts, -1)

    def chosen(self, mask: Sequence[int] | None) -> Tensor:
        """The anchors of a mask, all without one."""
        return self.anchors if mask is None else self.anchors[list(mask)]

    def best_anchor(self, sizes: Tensor) -> Tensor:
        """The index of the anchor that overlaps each size (..., 2) most, as if both were at one place."""
        return self.anchor_overlaps(sizes).argmax(-1)

    def anchor_overlaps(self, sizes: Tensor) -> Tensor:
        """The intersection over union (..., n) of each size (..., 2) with each anchor at the same place."""
        return size_overlaps(sizes.unsqueeze(-2), self.anchors)


def size_overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of boxes with one center, from their sizes (..., 2)."""
    import torch

    common = torch.minimum(first, second).prod(-1)
    return common / (first.prod(-1) + second.prod(-1) - common)


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of boxes (..., 4); boxes that do not touch have 0."""
    common, union = _areas(first, second)
    import torch

    return torch.where(common > 0, common / union, 0)


def general_overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return the generalized intersection over union: less the share of the enclosing box outside the union."""
    import torch

    common, union = _areas(first, second)
    low = torch.minimum(first[..., :2] - first[..., 2:] / 2, second[..., :2] - second[..., 2:] / 2)
    high = torch.maximum(first[..., :2] + first[..., 2:] / 2, second[..., :2] + second[..., 2:] / 2)
    enclosing = (high - low).prod(-1)
    return torch.where(enclosing == 0, common / union, common / union - (enclosing - union) / enclosing)


def _areas(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The areas of the intersection and of the union."""
    import torch

    low = torch.maximum(first[..., :2] - first[..., 2:] / 2, second[..., :2] - second[..., 2:] / 2)
    high = torch.minimum(first[..., :2] + first[..., 2:] / 2, second[..., :2] + second[..., 2:] / 2)
    common = (high - low).clamp_min(0).prod(-1)
    return common, first[..., 2:].prod(-1) + second[..., 2:].prod(-1) - common


@dataclass(frozen=True)
class Truths:
    """Lists of truths."""

    labels: Tensor
    """(batch, t), whole numbers."""
    boxes: Tensor
    """(batch, t, 4)."""
    listed: Tensor
    """(batch, t): whether a truth counts for overlaps; a list ends at the first x of 0."""
    assigned: Tensor
    """(batch, t): whether a truth is assigned to a cell; a list ends at the first width of 0."""

    @classmethod
    def of(cls, labels: Tensor, classes: int, mode: Mode) -> Truths:
        """The truths of a blob of labels, as many as the longest list has.

        Reports classes and centers that are out of range.
        """
        rows = labels.reshape(labels.shape[0], -1, TRUTH)
        listed = (rows[..., 1] != 0).cumprod(1).bool()
        assigned = (rows[..., 3] != 0).cumprod(1).bool()
        most = int((listed | assigned).any(0).sum())
        rows, listed, assigned = rows[:, :most], listed[:, :most], assigned[:, :most]
        mode.check_range(rows[..., 0][assigned], 0, classes, "class")
        mode.check_range(rows[..., 1:3][assigned], 0, 1, "center of a box")
        inside = ((rows[..., 1:3] >= 0) & (rows[..., 1:3] < 1)).all(-1) & (rows[..., 0] >= 0) & (rows[..., 0] < classes)
        return cls(rows[..., 0].long(), rows[..., 1:], listed, assigned & inside)

    def best_overlap(self, boxes: Tensor) -> Tensor:
        """The largest overlap (batch, ...) of each box (batch, ..., 4) with a listed truth; 0 if there is none."""
        import torch

        flat = boxes.flatten(1, -2)
        if not self.boxes.shape[1]:
            return boxes.new_zeros(boxes.shape[:-1])
        pairs = overlaps(flat.unsqueeze(2), self.boxes.unsqueeze(1))
        best = torch.where(self.listed.unsqueeze(1), pairs, 0).amax(2)
        return best.reshape(boxes.shape[:-1])


@dataclass(frozen=True)
class Cells:
    """The cells that truths are assigned to, in the order of the truths; each field has one number per assignment."""

    image: Tensor
    truth: Tensor
    box: Tensor
    row: Tensor
    column: Tensor

    @classmethod
    def of(cls, grid: CellGrid, truths: Truths, image: Tensor, truth: Tensor, box: Tensor) -> Cells:
        """The cells that contain the centers of truths."""
        centers = truths.boxes[image, truth, :2]
        return cls(image, truth, box, (centers[:, 1] * grid.h).long(), (centers[:, 0] * grid.w).long())

    @property
    def places(self) -> tuple[Tensor, ...]:
        """Index of (batch, n, h, w, ...)."""
        return self.image, self.box, self.row, self.column

    def where(self, kept: Tensor) -> Cells:
        """Some of the assignments."""
        return Cells(*(part[kept] for part in (self.image, self.truth, self.box, self.row, self.column)))

    def last(self, grid: CellGrid) -> Cells:
        """The last assignment of each cell."""
        return self.where(self._extreme(grid, "amax"))

    def first(self, grid: CellGrid) -> Tensor:
        """Whether an assignment is the first of its cell."""
        return self._extreme(grid, "amin")

    def _extreme(self, grid: CellGrid, which: str) -> Tensor:
        import torch

        boxes = grid.anchors.shape[0]
        cell = ((self.image * boxes + self.box) * grid.h + self.row) * grid.w + self.column
        _, group = torch.unique(cell, return_inverse=True)
        order = torch.arange(len(cell), device=cell.device)
        extreme = torch.empty_like(order).scatter_reduce_(0, group, order, which, include_self=False)
        return extreme[group] == order
