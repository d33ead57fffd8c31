"""DetectionLoss: the loss of YOLO v1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import LayerUse, register
from netc.layers.yolo._grid import overlaps

if TYPE_CHECKING:
    from torch import Tensor

LABEL = 7
"""Numbers of a label per cell: difficult, whether there is an object, its class, and its box."""
OWN = frozenset("side num_class num_object object_scale noobject_scale class_scale coord_scale sqrt constriant".split())
"""Parameters that only this meaning has."""


def has_grid(use: LayerUse) -> bool:
    """Whether a DetectionLoss layer has a parameter of YOLO v1."""
    return any(name in use.parameters.message("detection_loss_param") for name in OWN)


class ScoredCells(NamedTuple):
    """A prediction: classes (n, c, s), objectness (n, k, s) and coordinates (n, k, 4, s) of s cells."""

    classes: Tensor
    objectness: Tensor
    coordinates: Tensor


class Objects(NamedTuple):
    """The label of each cell: whether there is an object (n, s), its class (n, s) and its box (n, s, 4)."""

    present: Tensor
    label: Tensor
    box: Tensor


@register("DetectionLoss", dialect="yolo9000", field="detection_loss_param", when=has_grid)
@dataclass(frozen=True)
class DetectionLossOfYolo(Layer):
    """The loss of YOLO v1: squared errors of classes, boxes and objectness, each averaged over its cells.

    The gradient is the deltas, divided by the number of images, not the derivative of the loss: the target of an
    object's score is its overlap with the truth in the gradient, and 1 in the loss. Chosen if a parameter is set that
    only YOLO's layer has, such as `side`.

    Shapes: (n, side^2 (num_class + 5 num_object)) and labels (n, side^2 7) to a scalar.

    >>> DetectionLossOfYolo().infer(((4, 1470), (4, 343)), 1)
    ((),)

    Reference: `detection_loss_layer.cpp` of yolo9000's Caffe; Redmon et al., You Only Look Once, 2015.
    """

    side: int = 7
    """Extent of the grid."""
    num_class: int = 20
    """Number of classes."""
    num_object: int = 2
    """Number of boxes per cell."""
    object_scale: float = 1.0
    """Factor of the objectness of responsible boxes."""
    noobject_scale: float = 0.5
    """Factor of the objectness of the others."""
    class_scale: float = 1.0
    """Factor of the classes."""
    coord_scale: float = 5.0
    """Factor of the coordinates."""
    sqrt: bool = True
    """Whether widths and heights are square roots."""
    constriant: bool = False
    """Whether x and y are relative to the cell."""

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match."""
        cells = self.side**2
        wanted = cells * (self.num_class + 5 * self.num_object), cells * LABEL
        for bottom, count in zip(bottoms, wanted):
            if not bottom or differ(product(bottom[1:]), count):
                fail(f"a bottom of shape {text(bottom)} does not hold {count} numbers per item", field="bottom")
        if differ(bottoms[0][0], bottoms[1][0]):
            fail(f"labels of {bottoms[1][0]} items for a batch of {bottoms[0][0]}", field="bottom")
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """About ten operations per element."""
        return Cost(operations=10 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The gradient is the fork's: its deltas, divided by the number of images."""
        import torch

        from netc.functions.own_gradient import with_gradient

        x = bottoms[0].detach()
        found, objects = self._found(x), self._objects(bottoms[1], mode)
        boxes = self._boxes(found.coordinates)
        best, share = self._best(boxes, objects.box)
        responsible = torch.nn.functional.one_hot(best, self.num_object).movedim(2, 1).bool()
        responsible &= objects.present.unsqueeze(1)
        wrong = found.classes - torch.nn.functional.one_hot(objects.label, self.num_class).movedim(2, 1)
        away = found.coordinates - self._targets(objects.box).movedim(2, 1).unsqueeze(1)
        errors = (
            wrong * objects.present.unsqueeze(1),
            torch.where(responsible, found.objectness - 1, found.objectness),
            away * responsible.unsqueeze(2),
        )
        rescored = torch.where(responsible, found.objectness - share.unsqueeze(1), found.objectness)
        scale = torch.where(responsible, self.object_scale, self.noobject_scale)
        deltas = self.class_scale * errors[0], scale * rescored, self.coord_scale * errors[2]
        gradient = torch.cat([delta.flatten(1) for delta in deltas], 1).reshape(x.shape) / len(x)
        return with_gradient(bottoms[0], self._loss(errors, responsible), gradient)

    def _found(self, x: Tensor) -> ScoredCells:
        cells, boxes = self.side**2, self.num_object
        parts = x.reshape(len(x), -1, cells)
        scores, coordinates = parts[:, self.num_class :][:, :boxes], parts[:, self.num_class + boxes :]
        return ScoredCells(parts[:, : self.num_class], scores, coordinates.reshape(len(x), boxes, 4, cells))

    def _objects(self, labels: Tensor, mode: Mode) -> Objects:
        rows = labels.reshape(len(labels), LABEL, -1)
        present, label = rows[:, 1] != 0, rows[:, 2]
        mode.check_range(label[present], 0, self.num_class, "class")
        label = label.long().clamp(0, self.num_class - 1)
        return Objects(present, label, rows[:, 3:].reshape(len(labels), -1, 4))

    def _cells(self, like: Tensor) -> Tensor:
        """The column and row of each cell (s, 2)."""
        import torch

        index = torch.arange(self.side**2, device=like.device)
        return torch.stack((index % self.side, index // self.side), 1).to(like.dtype)

    def _boxes(self, coordinates: Tensor) -> Tensor:
        """The predicted boxes (n, k, s, 4) in fractions of the image."""
        import torch

        centers, sizes = coordinates[:, :, :2].movedim(2, 3), coordinates[:, :, 2:].movedim(2, 3)
        if self.constriant:
            centers = (centers + self._cells(centers)) / self.side
        return torch.cat((centers, sizes.square() if self.sqrt else sizes), 3)

    def _targets(self, boxes: Tensor) -> Tensor:
        """What the coordinates should be (n, s, 4)."""
        import torch

        centers, sizes = boxes[..., :2], boxes[..., 2:]
        if self.constriant:
            centers = centers * self.side - self._cells(centers)
        return torch.cat((centers, sizes.sqrt() if self.sqrt else sizes), 2)

    def _best(self, boxes: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """The box of each cell (n, s) that overlaps its truth most, or is nearest if none does; and the overlap."""
        import torch

        truth = truth.unsqueeze(1)
        shares = overlaps(boxes, truth)
        most, best = shares.max(1)
        nearest = (boxes - truth).square().sum(3).argmin(1)
        return torch.where(most > 0, best, nearest), most

    def _loss(self, errors: tuple[Tensor, Tensor, Tensor], responsible: Tensor) -> Tensor:
        import torch

        wrong, missing, away = errors
        count = responsible.sum()
        others = responsible.numel() - count
        own = self.class_scale * wrong.square().sum() + self.coord_scale * away.square().sum()
        squares = missing.square()
        own = own + self.object_scale * torch.where(responsible, squares, 0).sum()
        rest = self.noobject_scale * torch.where(responsible, 0, squares).sum()
        return own / count.clamp_min(1) + rest / others.clamp_min(1)
