"""DetectNetTransformation: augmented images, and maps of the objects in them, for NVIDIA's DetectNet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from netc.ir.dims import UNKNOWN, differ, known, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Constant, Cost, Count, Mode, Shapes, fail
from netc.ir.transform import MAX_PIXELS
from netc.layers._registry import register
from netc.layers._several_messages import SeveralMessages

if TYPE_CHECKING:
    from torch import Tensor

NUMBERS = 16
"""Numbers of a box: left, top, width, height, an angle, the class, and others."""
CLASS = 5
MAPS = 8
"""Maps before those of classes."""
CHANNELS = 3
DRAWN = 12
"""Random numbers per image."""
MOST_CLASSES = 1 << 12
"""Limit of the maps of classes."""
BLACK = -0.5
SMALLEST = 1.1920929e-07
"""Boxes and coverages of a smaller area do not count (FLT_EPSILON)."""
GROUND_TRUTH = """
    stride scale_cvg gridbox_type max_cvg_len min_cvg_len image_size_x image_size_y obj_norm crop_bboxes
    object_class
""".split()
MEAN = ("mean_value", "mean_file")


@register("DetectNetTransformation", dialect="nvidia")
@dataclass(frozen=True)
class DetectNetTransformation(SeveralMessages):
    """Augments images in training, resizes them in testing, and makes the maps of their objects.

    The second bottom has the number of boxes of an image, 16, 14 numbers without use, and 16 numbers per box. Training
    rotates the hue, reduces the saturation, subtracts the mean, and scales, rotates, mirrors and crops the image.

    The maps of a position that an object's center covers are: 1; the distances from the position to the object's left,
    top, right and bottom; the reciprocals of its width and height; the area of a position divided by that of its
    coverage, at least 1 without `obj_norm`; and 1 in the map of its class. A later box replaces earlier ones.

    Shapes: images (n, 3, h, w) and boxes (n, 1, boxes + 1, 16) to (n, 3, image_size_y, image_size_x) and
    (n, 8 + classes, image_size_y / stride, image_size_x / stride).

    >>> DetectNetTransformation(stride=16).infer(((4, 3, 400, 1300), (4, 1, 40, 16)), 2)
    ((4, 3, 384, 1248), (4, 9, 24, 78))

    Reference: `detectnet_transform_layer.cpp`, `detectnet_coverage_rectangular.cpp` of NVIDIA/caffe, caffe-0.15.
    """

    stride: int = 4
    """Pixels per position of the maps."""
    scale_cvg: float = 0.5
    """The part of an object's width and height that covers positions."""
    gridbox_type: Literal["GRIDBOX_MAX", "GRIDBOX_MIN"] = "GRIDBOX_MAX"
    """Whether the covered part has a largest or a smallest extent."""
    max_cvg_len: int = 50
    """The largest width and height of the covered part, in pixels."""
    min_cvg_len: int = 50
    """The smallest width and height of the covered part, if the object is not smaller."""
    image_size_x: int = 1248
    """Width of the top's images."""
    image_size_y: int = 384
    """Height of the top's images."""
    obj_norm: bool = False
    """Whether the eighth map may be below 1."""
    crop_bboxes: bool = True
    """Whether boxes are cropped to the image."""
    object_class: tuple[tuple[int, int], ...] = ()
    """For each class of boxes that is used, its number and that of its map; empty for class 1 in map 0."""
    crop_prob: float = 1.0
    """Probability of a crop at random; otherwise it is in the middle."""
    shift_x: int = 0
    """How far crops may leave the image, left and right together, in pixels."""
    shift_y: int = 0
    """How far crops may leave the image, at top and bottom together, in pixels."""
    scale_prob: float = 0.33
    """Probability of scaling."""
    scale_min: float = 0.7
    """The smallest scale."""
    scale_max: float = 1.0
    """The largest scale."""
    flip_prob: float = 0.33
    """Probability of mirroring."""
    rotation_prob: float = 0.33
    """Probability of a rotation."""
    max_rotate_degree: float = 1.0
    """The largest angle, in both directions."""
    hue_rotation_prob: float = 0.33
    """Probability of a rotation of the hue."""
    hue_rotation: float = 15.0
    """The largest angle of the hue, in both directions."""
    desaturation_prob: float = 0.33
    """Probability of a smaller saturation."""
    desaturation_max: float = 0.5
    """The largest part of the saturation that is removed."""
    mean_value: tuple[float, ...] = ()
    """The mean of all channels, or of each one."""
    mean_file: str = ""
    """Path of a .binaryproto file with the mean image, which is resized to the images."""

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @staticmethod
    def message_of(parameter: str) -> str:
        """The two messages of DetectNet; `transform_param` for the mean."""
        if parameter in MEAN:
            return "transform_param"
        return "detectnet_groundtruth_param" if parameter in GROUND_TRUTH else "detectnet_augmentation_param"

    @classmethod
    def _value(cls, layer: Fields, name: str, default: Any) -> Any:
        value = super()._value(layer, name, default)
        return tuple((one.get("src", 0), one.get("dst", 0)) for one in value) if name == "object_class" else value

    def to_caffe(self) -> dict[str, Any]:
        """The three messages, by name, without defaults."""
        result = super().to_caffe()
        if self.object_class:
            classes = [{"src": src, "dst": dst} for src, dst in self.object_class]
            result[self.message_of("object_class")]["object_class"] = classes
        return result

    def _check(self) -> None:
        def refuse(message: str, name: str, code: str = "E103") -> None:
            fail(message, code=code, field=f"{self.message_of(name)}.{name}")

        if self.stride < 1:
            refuse("`stride` must be positive", "stride")
        for name in ("image_size_x", "image_size_y"):
            if getattr(self, name) < 1 or getattr(self, name) % self.stride:
                refuse(f"`{name}` must be a positive multiple of the stride {self.stride}", name)
        if self.image_size_x * self.image_size_y > MAX_PIXELS:
            refuse("images are larger than the limit", "image_size_x", "E104")
        if not 0 < self.scale_min <= self.scale_max:
            refuse("`scale_min` must be positive, and at most `scale_max`", "scale_min")
        if any(dst >= MOST_CLASSES for _, dst in self.object_class):
            refuse(f"maps of classes must be below {MOST_CLASSES}", "object_class", "E104")
        if len(self.mean_value) not in (0, 1, CHANNELS):
            refuse("expected 1 or 3 values of `mean_value`", "mean_value")
        if self.mean_value and self.mean_file:
            refuse("`mean_value` and `mean_file` exclude each other", "mean_file", "E101")

    @property
    def classes(self) -> dict[int, int]:
        """The map of each class of boxes."""
        return dict(self.object_class) or {1: 0}

    @property
    def maps(self) -> int:
        """Number of maps."""
        return MAPS + 1 + max(self.classes.values())

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the maps."""
        return self.image_size_y // self.stride, self.image_size_x // self.stride

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms that are not images of three channels and boxes of the same number."""
        images, boxes = bottoms
        if len(images) != 4 or differ(images[1], CHANNELS):
            fail(f"expected images (n, 3, h, w), got {text(images)}", field="bottom")
        if len(boxes) != 4 or differ(images[0], boxes[0]):
            fail(f"images {text(images)} and boxes {text(boxes)} do not match", field="bottom")
        per_item = product(boxes[1:])
        if known(per_item) and per_item < NUMBERS:
            fail(f"boxes {text(boxes)} do not have {NUMBERS} numbers per image", field="bottom")
        return ((images[0], CHANNELS, self.image_size_y, self.image_size_x), (images[0], self.maps, *self.grid))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Twenty operations per value of an image, ten per box and position."""
        boxes = product(bottoms[1][1:]) // NUMBERS if known(product(bottoms[1][1:])) else UNKNOWN
        return Cost(operations=20 * product(tops[0]) + 10 * boxes * tops[1][0] * product(self.grid))

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """The mean image."""
        return (Constant("mean", self.mean_file),) if self.mean_file else ()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Random numbers are drawn on the CPU, since they choose the extents of intermediate images."""
        import torch

        images, numbers = (bottom.detach() for bottom in bottoms)
        flat = numbers.flatten(1)
        mode.check_range(flat[:, 1], NUMBERS, NUMBERS + 1, "length of a box")
        most = min(numbers.shape[2], flat.shape[1] // NUMBERS - 1)
        mode.check_range(flat[:, 0], 0, most + 1, "number of boxes")
        rows = flat[:, NUMBERS : NUMBERS * (most + 1)].reshape(len(images), most, NUMBERS)
        used = torch.arange(most, device=rows.device) < flat[:, :1].trunc()
        tops, boxes = [], []
        for image, own in zip(images, rows[:, :, :4]):
            image, moved = (
                self._augmented(image / 255, own, mode) if mode.training else self._scaled(image / 255, own, mode)
            )
            tops.append(image * 255)
            boxes.append(moved)
        return torch.stack(tops), self._maps(torch.stack(boxes), rows[:, :, CLASS].trunc(), used)

    def _without_mean(self, image: Tensor, mode: Mode) -> Tensor:
        from netc.functions.images import resized

        if self.mean_file:
            mean = mode.constants["mean"].to(image)
            return image - resized(mean.reshape(mean.shape[-3:]), *image.shape[1:]) / 255
        if self.mean_value:
            return image - image.new_tensor(self.mean_value)[:, None, None] / 255
        return image

    def _scaled(self, image: Tensor, boxes: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
        """The image in the size of the top, with its boxes."""
        return _resized(self._without_mean(image, mode), boxes, self.image_size_y, self.image_size_x)

    def _augmented(self, image: Tensor, boxes: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
        """An image (3, h, w) changed at random, with its boxes (m, 4)."""
        import torch

        dice = torch.rand(DRAWN).tolist()
        image = self._without_mean(self._recolored(image, dice[:4]), mode)
        if dice[4] <= self.scale_prob:
            scale = self.scale_min + (self.scale_max - self.scale_min) * dice[5]
            height, width = (max(1, math.floor(extent * scale + 0.5)) for extent in image.shape[1:])
            image, boxes = _resized(image, boxes, height, width)
        degrees = (dice[7] - 0.5) * 2 * self.max_rotate_degree
        if dice[6] <= self.rotation_prob and abs(degrees) > SMALLEST:
            image, boxes = _rotated(image, boxes, degrees)
        if dice[8] <= self.flip_prob:
            left = image.shape[2] - boxes[:, 0] - 1 - boxes[:, 2]
            image, boxes = image.flip(2), torch.cat((left[:, None], boxes[:, 1:]), 1)
        return self._cropped(image, boxes, dice[9:])

    def _recolored(self, image: Tensor, dice: Sequence[float]) -> Tensor:
        from netc.functions.images import from_hsv, to_hsv

        degrees = dice[1] * 2 * self.hue_rotation - self.hue_rotation
        degrees = max(min(degrees, 180.0), -180.0)
        if dice[0] <= self.hue_rotation_prob and abs(degrees) > SMALLEST:
            hsv = to_hsv(image)
            image = from_hsv(hsv + hsv.new_tensor((degrees, 0, 0))[:, None, None])
        saturation = 1 - dice[3] * self.desaturation_max
        if dice[2] <= self.desaturation_prob and saturation < 1 - 1 / 255:
            hsv = to_hsv(image)
            image = from_hsv(hsv * hsv.new_tensor((1, saturation, 1))[:, None, None])
        return image

    def _cropped(self, image: Tensor, boxes: Tensor, dice: Sequence[float]) -> tuple[Tensor, Tensor]:
        """A part of the image in the size of the top; black beyond the image."""
        moves, parts = [], []
        sizes = (self.image_size_y, self.shift_y, dice[2]), (self.image_size_x, self.shift_x, dice[1])
        for extent, (size, shift, die) in zip(image.shape[1:], sizes):
            if dice[0] <= self.crop_prob:
                drawn = die * (extent - size + shift)
                offset = int(math.copysign(math.floor(abs(drawn) + 0.5), drawn)) - shift // 2
            else:
                offset = int((extent - size) / 2)
            inner, outer = max(0, offset), max(0, -offset)
            count = max(0, min(size - outer, extent - inner))
            parts.append((slice(inner, inner + count), slice(outer, outer + count)))
            moves.append(outer - inner if count else 0)
        (rows, into_rows), (columns, into_columns) = parts
        crop = image.new_full((CHANNELS, self.image_size_y, self.image_size_x), BLACK)
        crop[:, into_rows, into_columns] = image[:, rows, columns]
        return crop, boxes + boxes.new_tensor((moves[1], moves[0], 0, 0))

    def _maps(self, boxes: Tensor, classes: Tensor, used: Tensor) -> Tensor:
        """The maps (n, maps, h, w) of boxes (n, m, 4) of `classes` (n, m)."""
        import torch

        sides = torch.cat((boxes[..., :2], boxes[..., :2] + boxes[..., 2:]), 2)
        if self.crop_bboxes:
            low, high = sides.new_zeros(2), sides.new_tensor((self.image_size_x, self.image_size_y))
            sides = torch.cat((sides[..., :2].maximum(low), sides[..., 2:].minimum(high)), 2)
        extents = sides[..., 2:] - sides[..., :2]
        used = used & (extents > 0).all(2) & (extents.prod(2) >= SMALLEST)
        maps = torch.full_like(classes, -1, dtype=torch.int64)
        for number, target in self.classes.items():
            maps = maps.masked_fill(classes == number, target)
        used = used & (maps >= 0)
        cover = self._coverage(sides, extents)
        shared = self._shared(cover).masked_fill(~used[..., None, None], 0)
        order = torch.arange(1, boxes.shape[1] + 1, device=boxes.device)[:, None, None]
        last = ((shared > SMALLEST) * order).amax(1) if boxes.shape[1] else shared.new_zeros((len(boxes), *self.grid))
        return self._filled(last.long(), sides, extents, cover, maps)

    def _coverage(self, sides: Tensor, extents: Tensor) -> Tensor:
        """The sides of the parts that cover positions (n, m, 4)."""
        import torch

        size = extents * self.scale_cvg
        if self.gridbox_type == "GRIDBOX_MIN":
            size = size.clamp(min=self.min_cvg_len).minimum(extents)
        else:
            size = size.clamp(max=self.max_cvg_len)
        center = (sides[..., :2] + sides[..., 2:]) / 2
        return torch.cat((center - size / 2, center + size / 2), 2)

    def _shared(self, cover: Tensor) -> Tensor:
        """The part of each position that each coverage takes (n, m, h, w)."""
        import torch

        spans = []
        for axis, extent in ((1, self.grid[0]), (0, self.grid[1])):
            start = torch.arange(extent, device=cover.device).to(cover) * self.stride
            low, high = cover[..., axis, None], cover[..., axis + 2, None]
            spans.append((high.minimum(start + self.stride) - low.maximum(start)).clamp(min=0))
        return spans[0][..., None] * spans[1][..., None, :] / self.stride**2

    def _filled(self, last: Tensor, sides: Tensor, extents: Tensor, cover: Tensor, maps: Tensor) -> Tensor:
        """The maps, given the number of the box at each position, from 1 (n, h, w)."""
        import torch

        sizes = cover[..., 2:] - cover[..., :2]
        norm = self.stride**2 / sizes.prod(2, keepdim=True).clamp(min=SMALLEST)
        norm = norm if self.obj_norm else norm.clamp(min=1)
        values = torch.cat((torch.ones_like(norm), sides, 1 / extents.clamp(min=SMALLEST), norm), 2)
        ids = torch.arange(self.maps - MAPS, device=maps.device)
        values = torch.cat((values, (maps[..., None] == ids).to(values)), 2)
        values = torch.nn.functional.pad(values, (0, 0, 1, 0))
        height, width = self.grid
        found = values.gather(1, last.flatten(1)[..., None].expand(-1, -1, self.maps))
        found = found.reshape(-1, height, width, self.maps).permute(0, 3, 1, 2).contiguous()
        y, x = (torch.arange(extent, device=found.device).to(found) * self.stride for extent in self.grid)
        inside = found[:, 0] > 0
        for index, place in enumerate((x[None], y[:, None], x[None], y[:, None]), 1):
            found[:, index] -= place * inside
        return found


def _resized(image: Tensor, boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """An image in another size, with its boxes."""
    from netc.functions.images import resized

    old_height, old_width = image.shape[1:]
    if (height, width) == (old_height, old_width):
        return image, boxes
    across, down = width / old_width, height / old_height
    return resized(image, height, width), boxes * boxes.new_tensor((across, down, across, down))


def _rotated(image: Tensor, boxes: Tensor, degrees: float) -> tuple[Tensor, Tensor]:
    """An image rotated around its center, with boxes of the same sizes around their rotated centers."""
    import torch

    from netc.functions.images import rotated

    image, matrix = rotated(image, degrees, BLACK)
    half = boxes[:, 2:] / 2
    centers = (boxes[:, :2] + half) @ matrix[:, :2].T + matrix[:, 2]
    return image, torch.cat((centers - half, boxes[:, 2:]), 1)
