"""PriorBox and PriorBoxClustered: the boxes relative to which a detector predicts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from netc.diagnostics import counted
from netc.ir.dims import Shape, product, text
from netc.ir.layer import Cost, Count, DTypes, Layer, Mode, Shapes, fail
from netc.layers._registry import LayerUse, register

if TYPE_CHECKING:
    from torch import Tensor

WIDE = 7
"""The least aspect ratio of TextBoxes's widest box."""
SAME = 1e-6
"""Aspect ratios that differ by less are one ratio."""


@dataclass(frozen=True)
class _Grid(Layer):
    """Boxes of the same sizes around the center of each cell of a feature map."""

    clip: bool = False
    """Whether coordinates outside the image are moved to its edge."""
    variance: tuple[float, ...] = ()
    """Factors of the codes of a box: one or four; 0.1 by default."""
    img_size: int | None = None
    """Height and width of the image in pixels; by default those of the second bottom."""
    img_h: int | None = None
    """Height of the image, together with `img_w`."""
    img_w: int | None = None
    """Width of the image, together with `img_h`."""
    step: float | None = None
    """Distance between the cells' centers in pixels; by default the image's extent divided by the number of cells."""
    step_h: float | None = None
    """Vertical distance, together with `step_w`."""
    step_w: float | None = None
    """Horizontal distance, together with `step_h`."""
    offset: float = 0.5
    """Position of the first center, in units of the distance."""

    twice: ClassVar[bool] = False
    """Whether each box is repeated half a cell below."""
    bottom_count: ClassVar[Count] = Count(1, 2)

    no_gradient: ClassVar[tuple[int, ...]] = (0, -1)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @property
    def indices(self) -> tuple[int, ...]:  # type: ignore[override]
        """Only the extents of the bottoms are used; the second bottom is optional if the file sets the image's size."""
        return (0,) if self._image() else (0, 1)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Floating point, whatever the bottoms."""
        return ("float32" if bottoms[0] == "int64" else bottoms[0],) * tops

    def __post_init__(self) -> None:
        """Raises NetcError E101 for fields that contradict each other, E103 for values out of range."""
        for whole, parts in (("img_size", ("img_h", "img_w")), ("step", ("step_h", "step_w"))):
            given = [name for name in parts if getattr(self, name) is not None]
            if given and getattr(self, whole) is not None:
                fail(f"`{whole}` and `{given[0]}` are both set", code="E101", field=given[0])
            if len(given) == 1:
                missing = parts[given[0] == parts[0]]
                fail(f"`{given[0]}` is set, but `{missing}` is not", code="E101", field=given[0])
            for name in (whole, *parts):
                if getattr(self, name) is not None and not getattr(self, name) > 0:
                    fail(f"`{name}` is {getattr(self, name):g}: it must be positive", code="E103", field=name)
        if len(self.variance) not in (0, 1, 4):
            fail(f"`variance` has {counted(len(self.variance), 'value')}: expected 1 or 4", code="E101")
        if any(not value > 0 for value in self.variance):
            fail("`variance` must be positive", code="E103", field="variance")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms that are not images, E101 if the size of the image is unknown."""
        if len(bottoms) == 1 and self._image() is None:
            fail("the image's size is missing", code="E101", help="set `img_size`, or pass the image as second bottom")
        for shape in bottoms:
            if len(shape) > 4 or len(shape) < 2:
                fail(f"expected a bottom with 2 to 4 axes, got {text(shape)}", field="bottom")
        height, width = _extents(bottoms[0])
        count = len(self.dense_boxes()) + len(self.boxes()) * (2 if self.twice else 1)
        return ((1, 2, height * width * count * 4),)

    def boxes(self) -> tuple[tuple[float, float], ...]:
        """Widths and heights of the boxes of a cell in pixels."""
        raise NotImplementedError

    def dense_boxes(self) -> tuple[tuple[float, float, float, float], ...]:
        """Boxes that precede the others of a cell: left, top, right and bottom relative to its center, in pixels."""
        return ()

    def _image(self) -> tuple[int, int] | None:
        if self.img_size is not None:
            return self.img_size, self.img_size
        return None if self.img_h is None or self.img_w is None else (self.img_h, self.img_w)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """An addition and a division per coordinate."""
        return Cost(operations=product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """See `priors`."""
        import torch

        kept = bottoms[0].dtype if bottoms[0].is_floating_point() else torch.float32
        return self.priors(tuple(tuple(bottom.shape) for bottom in bottoms), bottoms[0].device).to(kept)

    def priors(self, bottoms: Shapes, device: Any = None) -> Tensor:
        """Return the top in double precision: centers and sizes are rounded to single precision, as in Caffe."""
        import torch

        height, width = _extents(bottoms[0])
        image = self._image() or _extents(bottoms[1])
        x, y = (
            (torch.arange(cells, dtype=torch.float32, device=device) + self.offset).mul_(step).double()
            for cells, step in zip((width, height), self._steps(image, height, width))
        )
        halves = torch.tensor(self.boxes(), dtype=torch.float32, device=device).double().reshape(-1, 2) / 2
        centers = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), -1).unsqueeze(2)
        corners = torch.cat((centers - halves, centers + halves), -1)
        if self.twice:
            half = torch.tensor([0, self._steps(image, height, width)[1] / 2] * 2, device=device).double()
            corners = torch.stack((corners, corners + half), 3).flatten(2, 3)
        extents = corners.new_tensor((image[1], image[0]) * 2)
        corners = corners / extents
        if dense := self.dense_boxes():
            first = (centers.repeat(1, 1, 1, 2) + corners.new_tensor(dense)) / extents
            first = torch.cat((first[..., :2].clamp_min(0), first[..., 2:].clamp_max(1)), -1)
            corners = torch.cat((first, corners), 2)
        corners = (corners.clamp(0, 1) if self.clip else corners).reshape(-1)
        variance = torch.tensor((self.variance or (0.1,)), dtype=torch.float32, device=device).double()
        return torch.stack((corners, variance.repeat(corners.numel() // variance.numel()))).unsqueeze(0)

    def _steps(self, image: tuple[int, int], height: int, width: int) -> tuple[float, float]:
        """Return the horizontal and the vertical distance of the centers."""
        if self.step is not None:
            return self.step, self.step
        if self.step_h is not None and self.step_w is not None:
            return self.step_w, self.step_h
        return image[1] / width, image[0] / height


@register("PriorBox", dialect="ssd", field="prior_box_param")
@dataclass(frozen=True)
class PriorBox(_Grid):
    """Boxes of several sizes and aspect ratios around the center of each cell of a feature map, and their variances.

    For each size: a square of `min_size`, one of sqrt(min_size max_size), then a box of width min_size sqrt(r) and
    height min_size / sqrt(r) for each aspect ratio r other than 1. Sizes are truncated to integers. Coordinates
    x1, y1, x2, y2 are fractions of the image.

    Densified boxes precede them: for each `fixed_size` s of density d, and each `fixed_ratio` r, a raster of d by d
    boxes of width s sqrt(r) and height s / sqrt(r), whose centers are s / d apart, truncated. Without `fixed_ratio`
    they are squares, followed by the other aspect ratios. Corners beyond the image are moved to its edge.

    Shapes: a feature map (n, c, h, w) and the image to (1, 2, 4 h w k) for k boxes per cell: boxes, then variances.

    >>> PriorBox(min_size=(30.0,), max_size=(60.0,), aspect_ratio=(2.0,)).infer(((1, 512, 38, 38), (1, 3, 300, 300)), 1)
    ((1, 2, 23104),)

    Reference: Liu et al., SSD, 2016; `prior_box_layer.cpp` of SSD (weiliu89/caffe, branch ssd); for densified boxes
    Zhang et al., FaceBoxes, 2017, and OpenVINO's `prior_box.hpp`.
    """

    min_size: tuple[float, ...] = ()
    """Side of the squares in pixels; at least one, unless there is a `fixed_size`."""
    max_size: tuple[float, ...] = ()
    """One for each `min_size`, or none."""
    aspect_ratio: tuple[float, ...] = ()
    """Width divided by height of further boxes; repeated ratios count once."""
    flip: bool = True
    """Whether each aspect ratio is followed by its inverse."""
    fixed_size: tuple[float, ...] = ()
    """Sizes of densified boxes, in pixels."""
    fixed_ratio: tuple[float, ...] = ()
    """Width divided by height of densified boxes; by default squares and `aspect_ratio`."""
    density: tuple[float, ...] = ()
    """Densified boxes along a side of their raster, an integer for each `fixed_size`."""

    def __post_init__(self) -> None:
        """Raises NetcError E101 for sizes that do not match, E103 for values out of range."""
        super().__post_init__()
        if not (self.min_size or self.fixed_size):
            fail("`min_size` is missing", code="E101")
        if len(self.density) != len(self.fixed_size):
            found = f"{counted(len(self.density), 'value')} of `density`, but {len(self.fixed_size)} of `fixed_size`"
            fail(found, code="E101", field="density")
        if self.fixed_ratio and not self.fixed_size:
            fail("`fixed_ratio` is set, but `fixed_size` is not", code="E101", field="fixed_ratio")
        if any(value < 1 for value in self.density):
            fail("`density` must be at least 1", code="E103", field="density")
        if self.max_size and len(self.max_size) != len(self.min_size):
            sizes = f"{counted(len(self.max_size), 'value')} of `max_size`, but {len(self.min_size)} of `min_size`"
            fail(sizes, code="E101", field="max_size")
        for name in ("min_size", "max_size", "aspect_ratio", "fixed_size", "fixed_ratio", "density"):
            if any(not 0 < value < math.inf for value in getattr(self, name)):
                fail(f"`{name}` must be positive and finite", code="E103", field=name)
        if any(not high > low for low, high in zip(self.min_size, self.max_size)):
            fail("`max_size` must be greater than `min_size`", code="E103", field="max_size")

    def boxes(self) -> tuple[tuple[float, float], ...]:
        """Widths and heights of the boxes of a cell in pixels."""
        found: list[tuple[float, float]] = []
        for index, side in enumerate(math.trunc(size) for size in self.min_size):
            found.append((side, side))
            if self.max_size:
                found.append((math.sqrt(side * math.trunc(self.max_size[index])),) * 2)
            found.extend((side * math.sqrt(ratio), side / math.sqrt(ratio)) for ratio in self._ratios()[1:])
        return tuple(found)

    def dense_boxes(self) -> tuple[tuple[float, float, float, float], ...]:
        """See _Grid: the rows of a raster follow each other."""
        found = []
        for size, density in zip(self.fixed_size, map(math.trunc, self.density)):
            whole, shift = math.trunc(size), math.trunc(size / density)
            first = shift / 2 - whole // 2
            shapes = [(size * math.sqrt(ratio), size / math.sqrt(ratio)) for ratio in self.fixed_ratio]
            if not shapes:
                others = [(size * math.sqrt(ratio), size / math.sqrt(ratio)) for ratio in self._ratios()[1:]]
                shapes = [(whole, whole), *others]
            for width, height in shapes:
                for row, column in itertools.product(range(density), repeat=2):
                    x, y = first + column * shift, first + row * shift
                    found.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        return tuple(found)

    def _ratios(self) -> list[float]:
        """Return the different aspect ratios, beginning with 1."""
        found = [1.0]
        for ratio in self.aspect_ratio:
            if all(abs(ratio - other) >= SAME for other in found):
                found += [ratio, 1 / ratio] if self.flip else [ratio]
        return found


def of_text(use: LayerUse) -> bool:
    """Whether the boxes are those of TextBoxes: wide ones such as 7 to 1, and none that are high."""
    p = use.parameters.message("prior_box_param")
    return not p.get("flip", True) and max(p.get("aspect_ratio", ()), default=0) >= WIDE


@register("PriorBox", dialect="textboxes", field="prior_box_param", when=of_text)
@dataclass(frozen=True)
class TextPriorBox(PriorBox):
    """SSD's prior boxes of lines of text: each box is repeated half a cell below, as words are wide and low.

    As SSD's layer, but boxes are clipped by default. A layer is of this meaning if it does not flip its boxes, and the
    widest has an aspect ratio of 7 or more.

    Shapes: a feature map (n, c, h, w) and the image to (1, 2, 8 h w k) for k different boxes per cell.

    >>> TextPriorBox(min_size=(30.0,), aspect_ratio=(2.0, 7.0), flip=False).infer(((1, 9, 3, 4), (1, 3, 24, 32)), 1)
    ((1, 2, 288),)

    Reference: Liao et al., TextBoxes, 2017; `prior_box_layer.cpp` of TextBoxes (MhLiao/TextBoxes).
    """

    clip: bool = True
    """Whether coordinates outside the image are moved to its edge."""

    twice: ClassVar[bool] = True


@register("PriorBoxClustered", dialect="openvino_training", field="prior_box_param")
@dataclass(frozen=True)
class PriorBoxClustered(_Grid):
    """Boxes of given widths and heights around the center of each cell of a feature map, and their variances.

    Coordinates x1, y1, x2, y2 are fractions of the image.

    Shapes: a feature map (n, c, h, w) and the image to (1, 2, 4 h w k) for k boxes per cell: boxes, then variances.

    >>> PriorBoxClustered(width=(9.4, 25.1), height=(15.0, 39.6)).infer(((1, 8, 5, 4), (1, 3, 80, 64)), 1)
    ((1, 2, 160),)

    Reference: `prior_box_clustered_layer.cpp` of OpenVINO's training_toolbox_caffe.
    """

    width: tuple[float, ...] = ()
    """Widths in pixels."""
    height: tuple[float, ...] = ()
    """Heights in pixels, one for each width."""

    def __post_init__(self) -> None:
        """Raises NetcError E101 for numbers of widths and heights that differ, E103 for values out of range."""
        super().__post_init__()
        if not self.width:
            fail("`width` is missing", code="E101")
        if len(self.width) != len(self.height):
            sizes = f"{counted(len(self.height), 'value')} of `height`, but {len(self.width)} of `width`"
            fail(sizes, code="E101", field="height")
        for name in ("width", "height"):
            if any(not value > 0 for value in getattr(self, name)):
                fail(f"`{name}` must be positive", code="E103", field=name)

    def boxes(self) -> tuple[tuple[float, float], ...]:
        """Widths and heights of the boxes of a cell in pixels."""
        return tuple(zip(self.width, self.height))


def _extents(shape: Shape) -> tuple[int, int]:
    """Return height and width; axes that are missing have extent 1."""
    full = (*shape, 1, 1)
    return full[2], full[3]
