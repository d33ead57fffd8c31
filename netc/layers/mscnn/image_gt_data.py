"""ImageGtData of MS-CNN: parts of images, and labels of the positions of several maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import UNKNOWN, Shape, known
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Count, Shapes, fail
from netc.ir.traits import FedBy
from netc.ir.transform import MAX_PIXELS, MOST_SCALE
from netc.layers._registry import register
from netc.layers.data import ImageLayer
from netc.layers.mscnn._codes import COORDINATES, LABEL
from netc.layers.mscnn._poses import MATRICES, POSE
from netc.layers.mscnn.proposal_target import OBJECT


@register("ImageGtData", dialect="panoramic")
@dataclass(frozen=True)
class ImageGtData(ImageLayer):
    """Images with objects, and for each map the objects near its positions.

    An image is mirrored at random, resized, and cropped around one of its objects, drawn at random, in training and
    tests. With `do_multiple_scale`, every second image is scaled before such that this object has one of the sizes from
    `min_scale` to `max_scale`, half an octave apart; with `min_whaspect` and `max_whaspect`, every second of these is
    also stretched. Where the image is smaller than the crop, the rest is 0.

    A label has six channels for each position of a map, around which there is a field: the class of the object that the
    field overlaps most, by more than `fg_threshold`, its center, width and height, and the overlap. The class is 0
    without such an object, and if the object is ignored; the overlap is 1 beyond the image and in regions to ignore. An
    object that no field overlaps enough has the position at its center, if a field overlaps it by 0.2. Objects are
    ignored if the file says so, if their center is outside the crop, and if they are smaller than `min_gt_width` or
    `min_gt_height`.

    The file of objects has a block for each image: `# number`, its path, channels, height and width on a line each; the
    number of objects, and a line of `class ignored x1 y1 x2 y2` for each; the number of regions to ignore, and a line
    of `x1 y1 x2 y2` for each. In a file of the panoramic port a line of matrices follows the width, 12 numbers of a
    projection on a plane or, with `use_panoramic`, 16 of a model and 6 of a projection matrix; objects also have
    height, width, length, location and rotation. Labels of such a file leave out ignored objects.

    Shapes: to (batch_size, 3, h, w), a label (batch_size, 6, h / rate, w / rate) for each `downsample_rate`, objects
    (g, 7, 1, 1) of image, corners, class and whether it is ignored, and 7 more numbers with `append_3d_info`, and
    matrices (batch_size, 6, 1, 1) and (batch_size, 16, 1, 1).

    >>> maps = {"downsample_rate": (8, 16), "field_w": (60.0, 120.0), "field_h": (60.0, 120.0)}
    >>> layer = ImageGtData(4, source="train.txt", crop_width=768, crop_height=576, output_gt_boxes=True, **maps)
    >>> layer.batch(None, 4)
    ((4, 3, 576, 768), (4, 6, 72, 96), (4, 6, 36, 48), (?, 7, 1, 1))

    Reference: `image_gt_data_layer.cpp` of MS-CNN and of panoramic-object-detection.
    """

    source: str = ""
    """Path of the file of objects."""
    root_folder: str = ""
    """Prefix of each path, without a separator."""
    scale: float = 1.0
    """Factor, applied after the mean is subtracted."""
    coord_num: int = 4
    """Number of coordinates in a label; the fork computes with 4."""
    downsample_rate: tuple[int, ...] = ()
    """Distance between the positions of each map, in pixels."""
    field_w: tuple[float, ...] = ()
    """Width of the field of each map."""
    field_h: tuple[float, ...] = ()
    """Height of the field of each map."""
    fg_threshold: float = 0.5
    """Overlap above which a field has the class of its object."""
    resize_width: int = 0
    """Width to which images are resized; 0 for their own, as for the height."""
    resize_height: int = 0
    """Height to which images are resized."""
    crop_width: int = 0
    """Width of the crop; 0 for that of the resized images, or else of the last image in the file."""
    crop_height: int = 0
    """Height of the crop."""
    do_multiple_scale: bool = False
    """Whether images are scaled at random."""
    min_scale: float = 0.0
    """Least size of an object, the square root of its area."""
    max_scale: float = 0.0
    """Greatest size of an object."""
    min_whaspect: float = 0.0
    """Least ratio of the width to the height of an object in a stretched image."""
    max_whaspect: float = 0.0
    """Greatest ratio."""
    min_gt_width: float = 0.0
    """Narrower objects are ignored."""
    min_gt_height: float = 0.0
    """Lower objects are ignored."""
    shuffle: bool = False
    """A new random order each epoch."""
    output_gt_boxes: bool = False
    """Whether there is a top of the objects."""
    fg_img_multiple: int = 1
    """How often an image with an object that is not ignored is read in an epoch."""
    cache_images: bool = False
    """Not used: the system caches files."""
    output_projection_matrix: bool = False
    """Whether there are tops of the matrices (panoramic port)."""
    append_3d_info: bool = False
    """Whether objects have length, height, width, location and rotation (panoramic port)."""
    use_panoramic: bool = False
    """Whether images are projected on a sphere, else on a plane (panoramic port)."""

    caffe_fields: ClassVar[CaffeFields] = {}
    top_count: ClassVar[Count] = Count(2, None)
    message: ClassVar[str] = "image_gt_data_param"
    fed_by: ClassVar[FedBy] = "object file"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `image_gt_data_param` and `transform_param`. Raises NetcError E101, E103, E104, E106."""
        own = layer.message(cls.message)
        for name in ("mean_file", "mirror"):
            if name in own:
                what = f"the fork does not read `{name}` here"
                help = "set `mean_value` and `mirror` in `transform_param`"
                fail(what, code="E106", field=f"{cls.message}.{name}", help=help)
        return super().from_caffe(layer)

    def _check(self) -> None:
        super()._check()
        for name in ("crop_size", "mean_file", "scale", "force_gray"):
            if getattr(self.transform, name) != type(self.transform).__dataclass_fields__[name].default:
                fail(f"`{name}` is not supported by `ImageGtData`", code="E106", field=f"transform_param.{name}")
        if len(self.transform.mean_value) not in (0, 1, 3):
            what = f"expected 1 or 3 values of `mean_value`, got {len(self.transform.mean_value)}"
            fail(what, code="E103", field="transform_param.mean_value")
        if self.coord_num != COORDINATES:
            fail(f"`coord_num` must be {COORDINATES}", code="E103", field=f"{self.message}.coord_num")
        for name in ("downsample_rate", "field_w", "field_h"):
            values = getattr(self, name)
            if (
                not values
                or len(values) != len(self.downsample_rate)
                or not all(0 < one < MAX_PIXELS for one in values)
            ):
                fail(f"`{name}` must have a positive number for each map", code="E101", field=f"{self.message}.{name}")
        if self.output_projection_matrix and not self.output_gt_boxes:
            what = "`output_projection_matrix` needs `output_gt_boxes`"
            fail(what, code="E101", field=f"{self.message}.output_projection_matrix")
        if self.fg_img_multiple < 1:
            fail("`fg_img_multiple` must be positive", code="E103", field=f"{self.message}.fg_img_multiple")
        self._check_sizes()
        self._check_scales()

    def _check_sizes(self) -> None:
        for kind in ("resize", "crop"):
            width, height = getattr(self, f"{kind}_width"), getattr(self, f"{kind}_height")
            if (width > 0) != (height > 0):
                what = f"`{kind}_width` {width} and `{kind}_height` {height} must be given together"
                fail(what, code="E101", field=f"{self.message}.{kind}_{'width' if width else 'height'}")
            if width * height > MAX_PIXELS:
                what = f"images of {height}x{width} pixels are larger than the limit of {MAX_PIXELS:,}"
                fail(what, code="E104", field=f"{self.message}.{kind}_width")
        if self.resize_width and (self.crop_width > self.resize_width or self.crop_height > self.resize_height):
            what = f"a crop of {self.crop_height}x{self.crop_width} is larger than the resized images"
            fail(what, code="E103", field=f"{self.message}.crop_width")

    def _check_scales(self) -> None:
        if self.scaled and not 1 <= self.min_scale <= self.max_scale <= MOST_SCALE * self.min_scale:
            what = f"`max_scale` must be from `min_scale`, at least 1, to {MOST_SCALE} times as much"
            fail(what, code="E103", field=f"{self.message}.max_scale")
        if self.stretched and not 0 < self.min_whaspect < self.max_whaspect <= MOST_SCALE:
            what = f"`max_whaspect` must be from above `min_whaspect` to {MOST_SCALE}"
            fail(what, code="E103", field=f"{self.message}.max_whaspect")

    @property
    def scaled(self) -> bool:
        """Whether images are scaled at random: the fork also needs both sizes."""
        return self.do_multiple_scale and bool(self.min_scale) and bool(self.max_scale)

    @property
    def stretched(self) -> bool:
        """Whether scaled images are stretched at random."""
        return self.scaled and bool(self.min_whaspect) and bool(self.max_whaspect)

    @property
    def in_space(self) -> bool:
        """Whether a parameter needs a file of the panoramic port."""
        return self.append_3d_info or self.output_projection_matrix or self.use_panoramic

    @property
    def factor(self) -> float:
        """`scale` of the layer's own message."""
        return self.scale

    def _image_shape(self, record: Shape | None) -> Shape:
        height, width = (record or (3, UNKNOWN, UNKNOWN))[1:]
        return (3, self.crop_height or self.resize_height or height, self.crop_width or self.resize_width or width)

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """The number of objects is unknown. Raises NetcError E102 for other tops, E103 for an extent of a label."""
        n, (channels, height, width) = self.batch_size, self._image_shape(record[0] if record else None)
        labels = tuple((n, LABEL, *self.label_size(index, height, width)) for index in range(len(self.field_w)))
        objects = ((UNKNOWN, OBJECT + POSE * self.append_3d_info, 1, 1),) * self.output_gt_boxes
        matrices = tuple((n, count, 1, 1) for count in MATRICES) if self.output_projection_matrix else ()
        shapes = ((n, channels, height, width), *labels, *objects, *matrices)
        if tops > len(shapes):
            fail(f"expected {counted(len(shapes), 'top')}, got {tops}", field="top")
        return shapes[:tops]

    def label_size(self, index: int, height: int, width: int) -> tuple[int, int]:
        """The extents of a label for images of a size. Raises NetcError E103 if they would be rounded up, or are 0."""
        rate, field = self.downsample_rate[index], f"{self.message}.downsample_rate"
        found = height // rate, width // rate
        for extent, count in zip((height, width), found):
            if known(extent) and (count < 1 or 2 * (extent % rate) >= rate):
                fail(f"the extent {extent} is not a multiple of `downsample_rate` {rate}", code="E103", field=field)
        return found

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """Crops are around an object drawn at random, in training and tests."""
        cut = ("crop_width",) if self.crop_width else ()
        return (*cut, *("do_multiple_scale",) * self.scaled, *super().random_fields(True))
