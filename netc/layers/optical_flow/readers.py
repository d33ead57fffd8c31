"""ImgReader, FLOReader and FloatReader: one file as a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from netc.ir.dims import UNKNOWN, Shape
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, DataLayer, Shapes, fail
from netc.ir.traits import FedBy
from netc.ir.transform import Transform
from netc.layers._registry import register
from netc.layers.data import check_image_fields


@dataclass(frozen=True)
class FileReader(DataLayer):
    """Base of the layers that read one file."""

    file: str = ""
    """Path of the file."""
    num: int = 1
    """Number of items of the batch, each of which holds the file."""

    top_count: ClassVar[Count] = Count(1)
    fed_by: ClassVar[FedBy] = "file"
    format: ClassVar[Literal["image", "flo", "float3"]]
    """Format of the file."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `reader_param`. Raises NetcError E101 without a file, E103 for an empty batch."""
        p = layer.message("reader_param")
        result = cls(p.get("file", ""), p.get("num", 1))
        if not result.file:
            fail("`file` is missing", code="E101", help="set `reader_param { file: ... }`")
        if result.num < 1:
            fail("`num` must be positive", code="E103", field="reader_param.num")
        return result

    @property
    def source(self) -> str:
        """The file, which is opened for its shape."""
        return self.file

    @property
    def batch_size(self) -> int:
        """The number of items."""
        return self.num

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """Items of the shape (c, h, w) of the file."""
        return ((self.num, *(record[0] if record else self.unread)),)

    @property
    def unread(self) -> Shape:
        """What is known of the shape without the file."""
        return (UNKNOWN, UNKNOWN, UNKNOWN)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the file is read outside the net."""
        return Cost()


@register("FloatReader", dialect="flownet2", field="reader_param")
@dataclass(frozen=True)
class FloatReader(FileReader):
    """The numbers of a .float3 file, as FloatWriter writes it: two extents, or three with the channels.

    Shapes: to (num, c, h, w); unknown if the file cannot be read.

    >>> FloatReader("x.float3", 2).batch(((5, 8, 6),), 1)
    ((2, 5, 8, 6),)

    Reference: `floatreader_layer.cpp`, `output.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    format: ClassVar[Literal["image", "flo", "float3"]] = "float3"


@register("FLOReader", dialect="flownet2", field="reader_param")
@dataclass(frozen=True)
class FloReader(FileReader):
    """The flow in a Middlebury .flo file.

    Shapes: to (num, 2, h, w); unknown extents if the file cannot be read.

    >>> FloReader("x.flo").batch(None, 1)
    ((1, 2, ?, ?),)

    Reference: `output.cpp` of FlowNet2 (lmb-freiburg/flownet2), whose published layers do not include it.
    """

    format: ClassVar[Literal["image", "flo", "float3"]] = "flo"

    @property
    def unread(self) -> Shape:
        """Two components."""
        return (2, UNKNOWN, UNKNOWN)


@register("ImgReader", dialect="flownet2", field="reader_param")
@dataclass(frozen=True)
class ImgReader(FileReader):
    """An image in color, blue first, with `transform_param`, which is applied once: all items and passes are the same.

    Shapes: to (num, 3, h, w), cropped; unknown extents if the file cannot be read.

    >>> ImgReader("x.ppm", 2).batch(((3, 384, 512),), 1)
    ((2, 3, 384, 512),)

    Reference: `imgreader_layer.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    transform: Transform = field(default_factory=Transform)
    """Cropping, mirroring, mean subtraction and scaling of the image."""

    format: ClassVar[Literal["image", "flo", "float3"]] = "image"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `reader_param` and `transform_param`. Raises NetcError as FloatReader does, E106 for label maps."""
        transform = Transform.read(layer)
        check_image_fields(transform)
        plain = super().from_caffe(layer)
        return cls(plain.file, plain.num, transform)

    @classmethod
    def fields_of(cls, parameter: str) -> tuple[str, ...]:
        """`reader_param`, or `transform_param`."""
        return ("transform_param",) if parameter == "transform" else super().fields_of(parameter)

    def to_caffe(self) -> dict[str, Any]:
        """Both messages by name."""
        own = super().to_caffe()
        own.pop("transform", None)
        transform = self.transform.to_caffe()
        return {"reader_param": own, **({"transform_param": transform} if transform else {})}

    @property
    def factor(self) -> float:
        """The factor of each value after the mean is subtracted."""
        return self.transform.scale

    @property
    def unread(self) -> Shape:
        """Three colors."""
        return (3, UNKNOWN, UNKNOWN)

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """Cropped images. Raises the errors of Transform.shape."""
        return ((self.num, *self.transform.shape(record[0] if record else self.unread)),)

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """Those of the transformation."""
        return self.transform.random_fields(train)
