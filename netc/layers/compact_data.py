"""CompactData: a data layer for records that are a label and an image file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netc.ir.dims import Shape
from netc.ir.layer import Count, fail
from netc.ir.traits import FedBy
from netc.layers._registry import register
from netc.layers.data import Data


@register("CompactData", dialect="chenglong", v1="COMPACT_DATA")
@dataclass(frozen=True)
class CompactData(Data):
    """Images and labels from a database whose records are a label, four bytes, and an encoded image.

    Images have one channel, or three with `force_color`. With `multiscale` in `transform_param` each image is flipped,
    cropped or padded, sheared, rotated and distorted at random, and has the extents of the crop; `mirror` is not read.

    Shapes: to (batch_size, c, crop_size, crop_size) and (batch_size).

    >>> from netc.ir.transform import Transform
    >>> CompactData(source="train_leveldb", batch_size=50, transform=Transform(crop_size=48)).batch(None, 2)
    ((50, 1, 48, 48), (50,))

    Reference: `compact_data_layer.cpp` and `data_transformer.cpp` of ChenglongChen's caffe-windows.
    """

    top_count: ClassVar[Count] = Count(1, 2)
    fed_by: ClassVar[FedBy] = "compact database"
    warps: ClassVar[bool] = True

    def _check(self) -> None:
        super()._check()
        if not any(self.transform.crop):
            fail("`CompactData` requires `crop_size`", code="E101", field="transform_param.crop_size")

    @property
    def is_color(self) -> bool:
        """Whether images have three channels."""
        return self.transform.force_color or self.force_encoded_color

    def _image_shape(self, record: Shape | None) -> Shape:
        _, *size = super()._image_shape(record)
        return (3 if self.is_color else 1, *size)
