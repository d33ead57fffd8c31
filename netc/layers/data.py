"""Layers that read images: Data, ImageData, WindowData, MemoryData.

They declare what is read and its shape; the data package reads it. `scale`, `mean_file`, `crop_size` and `mirror` in
the layers' own messages are older spellings of `transform_param`, which the front end upgrades in V1 layers and Caffe
ignores in others, with one exception: WindowData reads `scale` only in its own message.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from netc.ir.dims import UNKNOWN, Shape
from netc.ir.fields import Fields
from netc.ir.image_size import ImageSize
from netc.ir.layer import Cost, Count, DataLayer, Shapes, fail
from netc.ir.traits import FedBy
from netc.ir.transform import MAX_PIXELS, Transform
from netc.layers._registry import register


@dataclass(frozen=True)
class ImageLayer(DataLayer):
    """Base of the layers that read images: a batch of images on the first top, their labels on the second.

    A record is the shape (c, h, w) of a decoded image and, if it has several labels, their shape.
    """

    batch_size: int = 0
    """Number of images per batch."""
    transform: Transform = field(default_factory=Transform)
    """Cropping, mirroring, mean subtraction and scaling of each image."""

    message: ClassVar[str]
    """The layer's own field of LayerParameter, in addition to `transform_param`."""
    moves_label_maps: ClassVar[bool] = False
    """Whether the transformation has DeepLab's fields, which change an image and its label map together."""
    warps: ClassVar[bool] = False
    """Whether the transformation has Chenglong Chen's fields, which warp an image at random."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads the layer's message and `transform_param`. Raises NetcError E101, E103."""
        own = layer.message(cls.message)
        given = {f.name: own.get(f.name, f.default) for f in dataclasses.fields(cls)}
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        result = cls(**{**values, "transform": Transform.read(layer)})
        result._check()
        return result

    @classmethod
    def fields_of(cls, parameter: str) -> tuple[str, ...]:
        """The layer's own message, or `transform_param`."""
        return ("transform_param",) if parameter == "transform" else (f"{cls.message}.{parameter}",)

    def to_caffe(self) -> dict[str, Any]:
        """The layer's message and `transform_param`, by name."""
        own = super().to_caffe()
        own.pop("transform", None)
        transform = self.transform.to_caffe()
        return {self.message: own, **({"transform_param": transform} if transform else {})}

    def _check(self) -> None:
        if not getattr(self, "source", "declared"):
            fail("`source` is missing", code="E101", field=f"{self.message}.source")
        if self.batch_size < 1:
            fail("`batch_size` is required and must be positive", code="E103", field=f"{self.message}.batch_size")
        if not self.moves_label_maps:
            check_image_fields(self.transform)
        if self.transform.warp.multiscale and not self.warps:
            fail(
                "`multiscale` is specific to `CompactData` of Chenglong Chen's Caffe, and not supported here",
                code="E106",
                field="transform_param.multiscale",
            )

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """(batch_size, c, h, w) and (batch_size); unknown for further tops. Raises the errors of Transform.shape."""
        labels = record[1] if record is not None and len(record) > 1 else ()
        images = (self.batch_size, *self._image_shape(record[0] if record else None))
        return (images, (self.batch_size, *labels), *(None,) * (tops - 2))[:tops]

    def _image_shape(self, record: Shape | None) -> Shape:
        return self.transform.shape(record)

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """`shuffle` and those of the transformation."""
        return (*("shuffle",) * getattr(self, "shuffle", False), *self.transform.random_fields(train))

    @property
    def factor(self) -> float:
        """The factor of each value after the mean is subtracted."""
        return self.transform.scale

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the images are produced outside the net."""
        return Cost()


def check_image_fields(transform: Transform) -> None:
    """Raises NetcError E106 for fields that change an image together with its label map."""
    for name in ("scale_factors", "crop_height", "crop_width"):
        if getattr(transform, name):
            fail(
                f"`{name}` is specific to layers with label maps of DeepLab's Caffe, and not supported here",
                code="E106",
                field=f"transform_param.{name}",
            )


_SOURCES = "source__list"
"""The field with every `source` of a file that has several."""


@register("Data", v1="DATA")
@dataclass(frozen=True)
class Data(ImageLayer):
    """Images and labels from a database of Datum records, in the order of their keys.

    Shapes: to (batch_size, c, h, w), cropped, and (batch_size); unknown if no record can be read.

    >>> layer = Data(source="train_lmdb", batch_size=64, transform=Transform(crop_size=24))
    >>> layer.batch(((3, 32, 32), ()), 2), layer.batch(None, 1)
    (((64, 3, 24, 24), (64,)), ((64, ?, 24, 24),))

    Reference: `data_layer.cpp`, `data_transformer.cpp`.
    """

    source: str = ""
    """Path of the database."""
    backend: Literal["LEVELDB", "LMDB"] = "LEVELDB"
    """Format of the database."""
    rand_skip: int = 0
    """Skip a random number of records, up to this, at the start; BVLC 1.0 ignores it."""
    force_encoded_color: bool = False
    """The older name of `force_color`."""
    prefetch: int = 4
    """Number of batches to prefetch."""
    shuffle: bool = False
    """Whether records are shuffled in each epoch (forks of yjxiong, Intel and NVIDIA)."""
    sources: tuple[str, ...] = ()
    """Paths of several databases, whose records alternate, each begun at its own `rand_skip` (BVLC's branch parallel,
    which takes whichever record has been read); empty for one."""

    top_count: ClassVar[Count] = Count(1, None)
    message: ClassVar[str] = "data_param"
    fed_by: ClassVar[FedBy] = "database"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """See ImageLayer."""
        return replace(super().from_caffe(layer), sources=tuple(layer.message(cls.message).get(_SOURCES, ())))

    @classmethod
    def fields_of(cls, parameter: str) -> tuple[str, ...]:
        """Every `source` of several databases."""
        return super().fields_of(_SOURCES if parameter == "sources" else parameter)

    def to_caffe(self) -> dict[str, Any]:
        """`data_param` and `transform_param`, by name."""
        result = super().to_caffe()
        if sources := result[self.message].pop("sources", None):
            result[self.message][_SOURCES] = list(sources)
        return result

    def _check(self) -> None:
        super()._check()
        if self.prefetch < 1:
            fail("`prefetch` must be positive", code="E103", field="data_param.prefetch")


@register("ImageData", v1="IMAGE_DATA")
@dataclass(frozen=True)
class ImageData(ImageLayer):
    """Images and labels from a list file with a path and a number per line.

    Shapes: to (batch_size, 3 or 1, h, w), resized, then cropped, and (batch_size).

    >>> ImageData(source="list.txt", batch_size=10, new_height=256, new_width=320).batch(None, 2)
    ((10, 3, 256, 320), (10,))

    Reference: `image_data_layer.cpp`.
    """

    batch_size: int = 1
    """Number of images per batch."""
    source: str = ""
    """Path of the list file."""
    rand_skip: int = 0
    """Skip a random number of lines, up to this, at the start."""
    shuffle: bool = False
    """Whether the list is shuffled in each epoch."""
    new_height: int = 0
    """Resize to this height; 0, with `new_width`, leaves each image's size."""
    new_width: int = 0
    """Width to resize to; 0, with `new_height`, keeps each image's size."""
    is_color: bool = True
    """Three channels, blue first, or one."""
    root_folder: str = ""
    """Prefix of each path, without a separator."""
    min_height: int = 0
    """Enlarge images of fewer rows, with their aspect ratio, without `new_height` (LRCN, Intel)."""
    min_width: int = 0
    """Enlarge images of fewer columns, with their aspect ratio, without `new_width` (LRCN, Intel)."""
    short_side: int = 0
    """Resize the shorter side to this length, in place of `new_height` and `new_width` (NVIDIA)."""
    new_dim: int = 0
    """Resize the shorter side to this length (channel pruning)."""
    bicubic: bool = False
    """Whether `new_dim` resizes by bicubic interpolation (channel pruning)."""

    top_count: ClassVar[Count] = Count(2, None)
    message: ClassVar[str] = "image_data_param"
    fed_by: ClassVar[FedBy] = "image list"

    def _check(self) -> None:
        super()._check()
        check_resize(self.new_height, self.new_width, self.message)
        if self.new_dim and (self.new_height or self.short_side):
            other = "short_side" if self.short_side else "new_height"
            fail(f"`{other}` and `new_dim` exclude each other", code="E101", field="image_data_param.new_dim")
        for name in ("min_height", "min_width", "short_side", "new_dim"):
            if getattr(self, name) > MOST_EXTENT:
                fail(f"`{name}` must be at most {MOST_EXTENT}", code="E104", field=f"image_data_param.{name}")

    @property
    def size(self) -> ImageSize:
        """How images are resized."""
        return ImageSize(**{f.name: getattr(self, f.name) for f in dataclasses.fields(ImageSize)})

    def _image_shape(self, record: Shape | None) -> Shape:
        _, *size = record or (UNKNOWN, UNKNOWN, UNKNOWN)
        return self.transform.shape((3 if self.is_color else 1, *(self.size.fixed or size)))


MOST_EXTENT = 1 << 14
"""Limit of the height or width to which images are resized."""


def check_resize(height: int, width: int, message: str) -> None:
    """Raises NetcError E101 for only one of `new_height` and `new_width`, E104 for too many pixels."""
    if (height > 0) != (width > 0):
        fail(
            f"`new_height` {height} and `new_width` {width} must be given together",
            code="E101",
            field=f"{message}.new_{'height' if height else 'width'}",
        )
    if height * width > MAX_PIXELS:
        fail(
            f"images of {height}x{width} pixels are larger than the limit of {MAX_PIXELS:,}",
            code="E104",
            field=f"{message}.new_height",
        )


@register("WindowData", v1="WINDOW_DATA")
@dataclass(frozen=True)
class WindowData(ImageLayer):
    """Windows of images around objects and background, for training R-CNN.

    Shapes: to (batch_size, c, crop_size, crop_size) and (batch_size).

    >>> WindowData(source="windows.txt", batch_size=128, transform=Transform(crop_size=227)).batch(None, 2)
    ((128, ?, 227, 227), (128,))

    Reference: `window_data_layer.cpp`.
    """

    source: str = ""
    """The window file."""
    scale: float = 1.0
    """Factor, applied after the mean is subtracted; the `scale` of `transform_param` has no effect."""
    fg_threshold: float = 0.5
    """Windows that overlap an object by at least this are foreground."""
    bg_threshold: float = 0.5
    """Windows that overlap every object by less are background, with label 0."""
    fg_fraction: float = 0.25
    """The fraction of foreground windows in a batch."""
    context_pad: int = 0
    """Pixels of context around each window, measured after scaling to the crop."""
    crop_mode: Literal["warp", "square"] = "warp"
    """Whether a window is stretched to the crop, or its bounding square is scaled."""
    cache_images: bool = False
    """Whether the encoded files are cached in memory."""
    root_folder: str = ""
    """Prefix of each path, without a separator."""

    top_count: ClassVar[Count] = Count(2)
    message: ClassVar[str] = "window_data_param"
    fed_by: ClassVar[FedBy] = "windows"

    def _check(self) -> None:
        super()._check()
        if self.crop_mode not in ("warp", "square"):
            fail(
                f"unknown `crop_mode` `{self.crop_mode}`: expected `warp` or `square`",
                code="E103",
                field="window_data_param.crop_mode",
            )
        if not self.transform.crop_size:
            fail("`WindowData` requires `crop_size`", code="E101", field="transform_param.crop_size")

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """Windows are drawn at random."""
        return ("fg_fraction", *super().random_fields(train))

    @property
    def factor(self) -> float:
        """`scale` of the layer's own message (`window_data_layer.cpp`, load_batch)."""
        return self.scale

    def _image_shape(self, record: Shape | None) -> Shape:
        size = self.transform.crop_size
        # A window of any size is scaled to the crop: only the number of channels depends on the record.
        return self.transform.shape(None if record is None else (record[0], size, size))


@register("MemoryData", v1="MEMORY_DATA")
@dataclass(frozen=True)
class MemoryData(ImageLayer):
    """Images and labels supplied by a program.

    Shapes: to (batch_size, channels, height, width), the extents after any crop, and (batch_size).

    >>> MemoryData(batch_size=8, channels=3, height=24, width=32).batch(None, 2)
    ((8, 3, 24, 32), (8,))

    Reference: `memory_data_layer.cpp`.
    """

    channels: int = 0
    """Channels of each image."""
    height: int = 0
    """Height of each image, after any crop."""
    width: int = 0
    """Width of each image, after any crop."""

    top_count: ClassVar[Count] = Count(2)
    message: ClassVar[str] = "memory_data_param"
    fed_by: ClassVar[FedBy] = "memory"

    def _check(self) -> None:
        for name in ("batch_size", "channels", "height", "width"):
            if getattr(self, name) < 1:
                fail(f"`{name}` is required and must be positive", code="E103", field=f"memory_data_param.{name}")

    def _image_shape(self, record: Shape | None) -> Shape:
        return replace(self.transform, crop_size=0).shape((self.channels, self.height, self.width))
