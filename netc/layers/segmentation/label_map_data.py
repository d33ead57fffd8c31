"""Layers that read pairs of an image and a label map, one class per pixel.

The image and its map move together: both are cropped at one place, mirrored, and resized, the map by its nearest
pixels. Maps are never mean-subtracted or scaled. PNG files with a palette hold indices of classes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

from netc.ir.augmentation import RandomStretch
from netc.ir.dims import UNKNOWN, Shape
from netc.ir.image_size import ImageSize
from netc.ir.layer import Count, Shapes, fail
from netc.ir.traits import FedBy
from netc.ir.transform import AUGMENTATIONS
from netc.layers._registry import register
from netc.layers.data import ImageLayer, check_resize

LabelType = Literal["NONE", "IMAGE", "PIXEL"]
MOST_CLASSES = 256
"""A label map has a byte per pixel."""


@dataclass(frozen=True)
class LabelMapLayer(ImageLayer):
    """Base of the layers that read label maps: images, maps (n, 1, h, w), and in some forks the sizes of the images."""

    batch_size: int = 1
    """Number of images per batch."""
    source: str = ""
    """Path of the list: a line has the paths of an image and its label map."""
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

    top_count: ClassVar[Count] = Count(2)
    message: ClassVar[str] = "image_data_param"
    fed_by: ClassVar[FedBy] = "label maps"
    is_edge_map: ClassVar[bool] = False
    """Whether maps are gray images of edges: resized bilinearly, 1 where they are brighter than half."""
    has_windows: ClassVar[bool] = False
    """Whether a line ends with the corners of a window of the image."""
    pads: ClassVar[bool] = False
    """Whether images smaller than the crop are padded, with the mean; otherwise they are errors."""

    @property
    def size(self) -> ImageSize:
        """How images are resized."""
        return ImageSize(self.new_height, self.new_width)

    @property
    def label_kind(self) -> LabelType:
        """What a line has after the path of the image: the path of a map, one label for all pixels, or nothing."""
        return "PIXEL"

    @property
    def ignored(self) -> int:
        """The label of pixels without a class."""
        return MOST_CLASSES - 1

    @property
    def map_factor(self) -> int:
        """The map is smaller than the image by this factor."""
        return 1

    @property
    def crops_test_at_random(self) -> bool:
        """Whether the place of the crop is random in testing too."""
        return False

    @property
    def crop(self) -> tuple[int, int]:
        """Height and width of the crop; zeros without a crop."""
        return self.transform.crop

    @property
    def mirrors(self) -> bool:
        """Whether pairs are mirrored at random."""
        return self.transform.mirror

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """(batch_size, c, h, w), (batch_size, 1, h, w), and (batch_size, 1, 1, 2) for the sizes of the images."""
        c, h, w = self._image_shape(record[0] if record else None)
        n, factor = self.batch_size, self.map_factor
        labels = (h, w) if factor == 1 else (self.new_height // factor, self.new_width // factor)
        return ((n, c, h, w), (n, 1, *labels), (n, 1, 1, 2))[:tops]

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """`shuffle` and those of the transformation."""
        return super().random_fields(train or self.crops_test_at_random)

    @property
    def _scales(self) -> bool:
        return bool(self.transform.scale_factors)

    def _image_shape(self, record: Shape | None) -> Shape:
        _, h, w = record or (UNKNOWN, UNKNOWN, UNKNOWN)
        h, w = (self.new_height, self.new_width) if self.new_height else (h, w)
        crop = self.crop
        if self._scales or (self.pads and crop[0]):
            h, w = crop if crop[0] else (UNKNOWN, UNKNOWN)
        elif crop[0] and (h < crop[0] or w < crop[1]):
            fail(f"the crop of {crop[0]}x{crop[1]} is larger than an image of {h}x{w}")
        h, w = crop if crop[0] else (h, w)
        return dataclasses.replace(self.transform, crop_size=0, crop_h=0, crop_w=0).shape(
            (3 if self.is_color else 1, h, w)
        )

    def _check(self) -> None:
        super()._check()
        check_resize(self.new_height, self.new_width, self.message)
        for name in AUGMENTATIONS:
            if getattr(self.transform, name) is not None:
                self._unsupported(name)
        if self.transform.stretch != RandomStretch():
            self._unsupported(next(iter(self.transform.stretch.to_caffe())))

    def _unsupported(self, name: str) -> None:
        fail(f"`{name}` is not supported for label maps", code="E106", field=f"transform_param.{name}")


@dataclass(frozen=True)
class _PaddedLabelMaps(LabelMapLayer):
    """DeepLab's: label types, padding, random scales, and the sizes of the images as a third top."""

    label_type: LabelType = "IMAGE"
    """What follows the path of an image in a line: `PIXEL` the path of its label map, `IMAGE` one label for all
    pixels, `NONE` nothing: all pixels are ignored."""
    ignore_label: int = MOST_CLASSES - 1
    """The label of pixels without a class, such as padding."""

    top_count: ClassVar[Count] = Count(1, 3)
    moves_label_maps: ClassVar[bool] = True
    pads: ClassVar[bool] = True

    @property
    def label_kind(self) -> LabelType:
        """See LabelMapLayer."""
        return self.label_type

    @property
    def ignored(self) -> int:
        """See LabelMapLayer."""
        return self.ignore_label

    def _check(self) -> None:
        super()._check()
        if not 0 <= self.ignore_label < MOST_CLASSES:
            fail(
                f"`ignore_label` {self.ignore_label} must be from 0 to {MOST_CLASSES - 1}: label maps have a byte per "
                "pixel",
                code="E103",
                field="image_data_param.ignore_label",
            )
        if self.transform.mean_file is not None:
            fail(
                f"`{self.type}` does not support a `mean_file`: use `mean_value`",
                code="E106",
                field="transform_param.mean_file",
            )


@register("ImageSegData", dialect="deeplab2")
@dataclass(frozen=True)
class ImageSegData(_PaddedLabelMaps):
    """Images, their label maps, and their sizes, from a list of pairs; smaller images are padded to the crop.

    Each pair is resized to `new_height` and `new_width`, then by one of `scale_factors` at random, padded at the right
    and bottom, and cropped. Padding is 0 in the images (the mean) and `ignore_label` in the maps. DeepLab's Caffe
    resizes maps bilinearly to `new_height` and `new_width`, which mixes classes; here they are resized by their nearest
    pixels.

    Shapes: to (batch_size, 3 or 1, h, w), (batch_size, 1, h, w), and (batch_size, 1, 1, 2): the height and width of
    each image before `scale_factors`, at most those of the crop.

    >>> from netc.ir.transform import Transform
    >>> layer = ImageSegData(batch_size=2, source="list.txt", transform=Transform(crop_size=321))
    >>> layer.batch(None, 3)
    ((2, 3, 321, 321), (2, 1, 321, 321), (2, 1, 1, 2))

    Reference: `image_seg_data_layer.cpp` and `TransformImgAndSeg` of `data_transformer.cpp` in DeepLab and PSPNet.
    """


@register("WindowSegData", dialect="deconvnet")
@dataclass(frozen=True)
class WindowSegData(_PaddedLabelMaps):
    """Windows of images and of their label maps, from a list of pairs with a window each.

    A line ends with `x1 y1 x2 y2`, the first and the last pixel of the window; it may extend beyond the image, which
    is padded with black, and its map with `ignore_label`. The window is resized to `new_height` and `new_width`; from
    there on a pair is treated as by `ImageSegData`. DeconvNet's Caffe shuffles images and windows independently, so
    that windows belong to other images; here a line is one sample.

    Shapes: to (batch_size, 3 or 1, h, w), (batch_size, 1, h, w), and (batch_size, 1, 1, 2): the height and width of
    each image, at most those of the crop.

    >>> WindowSegData(batch_size=8, source="list.txt", new_height=250, new_width=250).batch(None, 2)
    ((8, 3, 250, 250), (8, 1, 250, 250))

    Reference: `window_seg_data_layer.cpp` in DeconvNet's Caffe; Noh et al. 2015.
    """

    has_windows: ClassVar[bool] = True


@register("DenseImageData", dialect="segnet")
@dataclass(frozen=True)
class DenseImageData(LabelMapLayer):
    """Images and their label maps from a list of pairs.

    SegNet's Caffe rejects `mirror` and `crop_size` of `transform_param`; here they apply to both.

    Shapes: to (batch_size, 3 or 1, h, w) and (batch_size, 1, h, w); with `label_divide_factor` the maps have
    new_height / label_divide_factor rows, rounded down, and columns likewise.

    >>> layer = DenseImageData(batch_size=4, source="l.txt", new_height=512, new_width=1024, label_divide_factor=8)
    >>> layer.batch(None, 2)
    ((4, 3, 512, 1024), (4, 1, 64, 128))

    Reference: `dense_image_data_layer.cpp` in SegNet's and ENet's Caffe.
    """

    mirror: bool = False
    """Mirror pairs at random; equivalent to that of `transform_param`."""
    crop_height: int = 0
    """Height of the crop, with `crop_width`, at a random place in both phases."""
    crop_width: int = 0
    """Width of the crop, with `crop_height`."""
    label_divide_factor: int = 1
    """Maps are resized to `new_height` and `new_width` divided by this (ENet)."""

    message: ClassVar[str] = "dense_image_data_param"

    @property
    def crop(self) -> tuple[int, int]:
        """See LabelMapLayer."""
        return (self.crop_height, self.crop_width) if self.crop_height else self.transform.crop

    @property
    def mirrors(self) -> bool:
        """See LabelMapLayer."""
        return self.mirror or self.transform.mirror

    @property
    def crops_test_at_random(self) -> bool:
        """See LabelMapLayer."""
        return self.crop_height > 0

    @property
    def map_factor(self) -> int:
        """See LabelMapLayer."""
        return self.label_divide_factor

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """`shuffle`, `mirror`, the layer's own crop, and those of the transformation."""
        own = (*("mirror",) * self.mirror, *("crop_height",) * bool(self.crop_height))
        return (*own, *super().random_fields(train))

    def _check(self) -> None:
        super()._check()
        message = self.message
        if bool(self.crop_height) != bool(self.crop_width):
            missing = "crop_width" if self.crop_height else "crop_height"
            fail("`crop_height` and `crop_width` must be given together", code="E101", field=f"{message}.{missing}")
        if self.crop_height and any(self.transform.crop):
            fail("`crop_height` and `crop_size` exclude each other", code="E101", field=f"{message}.crop_height")
        if self.label_divide_factor < 1:
            fail("`label_divide_factor` must be positive", code="E103", field=f"{message}.label_divide_factor")
        if self.label_divide_factor > 1:
            self._check_smaller_maps()

    def _check_smaller_maps(self) -> None:
        field = f"{self.message}.label_divide_factor"
        if not self.new_height:
            fail("`label_divide_factor` requires `new_height` and `new_width`", code="E101", field=field)
        if any(self.crop):
            fail("`label_divide_factor` and a crop exclude each other", code="E101", field=field)
        if self.label_divide_factor > min(self.new_height, self.new_width):
            fail("`label_divide_factor` leaves no pixels of the label maps", code="E103", field=field)


@register("ImageLabelmapData", dialect="hed")
@dataclass(frozen=True)
class ImageLabelmapData(LabelMapLayer):
    """Images and their maps of edges from a list of pairs: 1 where a gray map is brighter than half, else 0.

    Crops are at a random place in both phases.

    Shapes: to (batch_size, 3 or 1, h, w) and (batch_size, 1, h, w).

    >>> ImageLabelmapData(source="train_pair.lst").batch(((3, 321, 481), (1, 321, 481)), 2)
    ((1, 3, 321, 481), (1, 1, 321, 481))

    Reference: `image_labelmap_data_layer.cpp` in HED's Caffe; Xie, Tu 2015.
    """

    is_edge_map: ClassVar[bool] = True

    @property
    def crops_test_at_random(self) -> bool:
        """See LabelMapLayer."""
        return True
