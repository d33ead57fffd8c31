"""BoxData: the data layer of yolo9000, with at most 30 boxes per image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netc.ir.dims import Shape
from netc.ir.layer import Count, Shapes, fail
from netc.ir.traits import FedBy
from netc.layers._registry import register
from netc.layers.data import Data

BOXES, COLUMNS = 30, 5
"""Boxes of an image; class, and x, y of the center, width, height in fractions of the image."""


@register("BoxData", dialect="yolo9000")
@dataclass(frozen=True)
class BoxData(Data):
    """Images and their boxes from a database of Datum records, whose floats are the boxes.

    A record has six floats per box: class, difficult, and x, y, width, height in fractions of the image. The label has
    five numbers for each of 30 boxes, without `difficult`; the rest is 0. In training a random part of the image that
    contains the center of a box is resized to the size of the image.

    Shapes: to (batch_size, c, h, w) and (batch_size, 150).

    >>> BoxData(source="trainval_lmdb", batch_size=16).batch(((3, 416, 416), (150,)), 2)
    ((16, 3, 416, 416), (16, 150))

    Reference: `box_data_layer.cpp`, `data_transformer.hpp` of choasup/caffe-yolo9000.
    """

    side: tuple[int, ...] = ()
    """Cells of the grids of the net; without effect."""

    top_count: ClassVar[Count] = Count(1, 2)
    fork_fields: ClassVar[frozenset[str]] = frozenset(("DataParameter.side",))
    fed_by: ClassVar[FedBy] = "boxes"

    def _check(self) -> None:
        super()._check()
        if self.transform.mirror or any(self.transform.crop):
            field = "mirror" if self.transform.mirror else "crop_size"
            fail(f"`BoxData` does not move boxes by `{field}`", code="E101", field=f"transform_param.{field}")

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """See ImageLayer."""
        return (*super().batch(record[:1] if record else None, 1), (self.batch_size, BOXES * COLUMNS))[:tops]

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """The parts of images in training, and those of the transformation."""
        return (*("source",) * train, *super().random_fields(train))
