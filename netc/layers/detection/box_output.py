"""BoxOutput: proposals of MS-CNN, from maps of several scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

SIZE_STEP, PLACE_STEP = 7, 4
"""The panoramic port rounds sizes up to SIZE_STEP times a power of two, corners down to a multiple of PLACE_STEP."""
_REGRESSION = {"bbox_mean": ("bbox_reg_param.bbox_mean",), "bbox_std": ("bbox_reg_param.bbox_std",)}


@register("BoxOutput", dialect="panoramic", field="box_output_param")
@dataclass(frozen=True)
class BoxOutput(Layer):
    """Boxes at the positions of several maps, the best after non-maximum suppression.

    A map has channels of scores, first the background's, and four codes. The score of a position is that of its best
    class minus the background's; positions below `fg_thr` are dropped. Codes are clamped, and move and scale a field of
    the map's own size around the position. Boxes are clipped to the image, and suppressed within each image. If
    nothing is left, there is one region, from 1, 1 to 10, 10, of the first image.

    With `num_param_set`, of the panoramic port, there are as many sets of four codes, of which the first counts for
    suppression; sizes are rounded up to 7 times a power of two and corners down to a multiple of 4; with `ringpad`
    boxes may reach across the left and right border.

    Shapes: maps (n, classes + 4, h, w) to regions (r, 5, 1, 1), of image, x1, y1, x2, y2, and these with the score
    (r, 6, 1, 1); with k sets of codes there are 4 k numbers of corners.

    >>> layer = BoxOutput(field_w=(60.0,), field_h=(60.0,), downsample_rate=(8,), field_whr=2.0, field_xyr=2.0)
    >>> layer.infer(((1, 9, 72, 96),), 2)
    ((?, 5, 1, 1), (?, 6, 1, 1))

    Reference: `box_output_layer.cpp` of MS-CNN and of panoramic-object-detection; Cai et al., A Unified Multi-scale
    Deep Convolutional Neural Network for Fast Object Detection, 2016.
    """

    fg_thr: float = 0.0
    """The least score."""
    iou_thr: float = 0.5
    """Boxes that overlap a better one by more are dropped."""
    field_w: tuple[float, ...] = ()
    """Width of the field of each map, in pixels."""
    field_h: tuple[float, ...] = ()
    """Height of the field of each map."""
    downsample_rate: tuple[int, ...] = ()
    """Distance between the positions of each map."""
    field_whr: float = 2.0
    """Largest factor by which a box differs from its field."""
    field_xyr: float = 2.0
    """A box moves by at most one over this, in units of its field."""
    max_nms_num: int = 0
    """Number of boxes with the highest scores that take part in suppression; 0 means all."""
    max_post_nms_num: int = 0
    """Number of boxes that are kept; 0 means all."""
    min_size: float = 15.0
    """Smallest side of a box."""
    num_param_set: int = 0
    """Number of sets of codes of the panoramic port; 0 for MS-CNN's layer."""
    ringpad: int = 0
    """Whether the image continues at its other side, if not 0."""
    bbox_mean: tuple[float, ...] = ()
    """Added to the codes after they are multiplied by `bbox_std`; empty for unchanged codes."""
    bbox_std: tuple[float, ...] = ()
    """Factors of the codes; empty for unchanged codes."""

    caffe_fields: ClassVar[CaffeFields] = _REGRESSION
    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(1, 2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    message: ClassVar[str] = "box_output_param"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `box_output_param` and `bbox_reg_param`. Raises NetcError E106 for another `nms_type`."""
        p, regression = layer.message("box_output_param"), layer.message("bbox_reg_param")
        if p.get("nms_type", "IOU") != "IOU":
            fail(f"`nms_type` `{p['nms_type']}` is not supported", code="E106", field="box_output_param.nms_type")
        own: dict[str, Any] = {name: p[name] for name in cls.__dataclass_fields__ if name in p}
        own |= {name: regression[name] for name in _REGRESSION if name in regression}
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in own.items()}
        return cls(**values)

    def to_caffe(self) -> dict[str, Any]:
        """`box_output_param` and `bbox_reg_param`, by name."""
        values = super().to_caffe()
        regression = {name: values.pop(name) for name in _REGRESSION if name in values}
        return {"box_output_param": values, **({"bbox_reg_param": regression} if regression else {})}

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """Every bottom: boxes are constants."""
        return tuple(range(len(self.field_w)))

    @property
    def sets(self) -> int:
        """Number of sets of codes."""
        return max(1, self.num_param_set)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 if parameters are missing, E102 for other bottoms."""
        for name in ("field_w", "field_h", "downsample_rate"):
            values = getattr(self, name)
            if len(values) != len(bottoms) or not all(value > 0 for value in values):
                fail(
                    f"`{name}` must have a positive number for each bottom", code="E101", field=f"{self.message}.{name}"
                )
        if self.field_whr < 1 or self.field_xyr <= 0 or len(self.bbox_mean) != len(self.bbox_std):
            fail("`field_whr`, `field_xyr` or `bbox_reg_param` is out of range", code="E103", field=self.message)
        for shape in bottoms:
            if len(shape) != 4 or any(map(differ, shape[:2], bottoms[0][:2])) or shape[1] < 4 * self.sets + 2:
                fail(f"expected maps of scores and {4 * self.sets} codes, got {text(shape)}", field="bottom")
        return ((UNKNOWN, 4 * self.sets + 1, 1, 1), (UNKNOWN, 4 * self.sets + 2, 1, 1))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Ten operations per element of the maps; suppression depends on the data."""
        return Cost(operations=10 * sum(map(product, bottoms)))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch

        maps = [bottom.detach() for bottom in bottoms]
        each = [self._of_image([one[image] for one in maps], image) for image in range(maps[0].shape[0])]
        rows = torch.cat(each)
        regions, scored = rows[:, :-1], rows
        if not rows.shape[0]:
            regions = rows.new_tensor([[0.0, *(1.0, 1.0, 10.0, 10.0) * self.sets]])
            scored = rows.new_zeros(1, rows.shape[1])
        return (regions[..., None, None], scored[..., None, None])[: mode.tops]

    def _of_image(self, maps: list[Tensor], image: int) -> Tensor:
        """Rows of image, corners and score, the best first."""
        import torch

        from netc.functions.suppression import nms

        rows = torch.cat([self._of_map(one, index) for index, one in enumerate(maps)])
        sizes = rows[:, 2:4] - rows[:, :2]
        rows = rows[(rows[:, -1] >= self.fg_thr) & (sizes >= self.min_size).all(1)].flip(0)
        rows = rows[rows[:, -1].argsort(descending=True, stable=True)[: self.max_nms_num or None]]
        kept = nms(rows[:, :4], rows[:, -1], self.iou_thr)[: self.max_post_nms_num or None]
        return torch.cat((rows.new_full((kept.shape[0], 1), image), rows[kept]), 1)

    def _of_map(self, maps: Tensor, index: int) -> Tensor:
        """(h w, 4 k + 1): corners of each set of codes, and the score of each position."""
        import torch

        channels, height, width = maps.shape
        classes, step = channels - 4 * self.sets, self.downsample_rate[index]
        values = maps.reshape(channels, -1).t()
        score = values[:, 1:classes].amax(1) - values[:, 0]
        places = torch.arange(height * width, device=maps.device)
        centers = torch.stack((places % width, places // width), 1).to(maps.dtype).add(0.5) * step
        field = maps.new_tensor([self.field_w[index], self.field_h[index]])
        extent = maps.new_tensor([width * step, height * step])
        corners = [
            self._corners(values[:, classes + 4 * k : classes + 4 * k + 4], centers, field, extent)
            for k in range(self.sets)
        ]
        return torch.cat((*corners, score[:, None]), 1)

    def _corners(self, codes: Tensor, centers: Tensor, field: Tensor, extent: Tensor) -> Tensor:
        import torch

        if self.bbox_std:
            codes = codes * codes.new_tensor(self.bbox_std) + codes.new_tensor(self.bbox_mean)
        most = math.log(self.field_whr)
        middle = codes[:, :2].clamp(-1 / self.field_xyr, 1 / self.field_xyr) * field + centers
        size = codes[:, 2:].clamp(-most, most).exp() * field
        if self.num_param_set:
            size = SIZE_STEP * 2 ** ((size + SIZE_STEP - 1) / SIZE_STEP).trunc().log2().ceil()
        low = middle - size / 2
        free = low.new_tensor([bool(self.ringpad), False], dtype=torch.bool)
        low = torch.where(free, low, low.clamp(min=0))
        if self.num_param_set:
            low = (low.trunc() / PLACE_STEP).trunc() * PLACE_STEP
        high = torch.where(free, low + size, torch.minimum(low + size, extent))
        return torch.cat((low, high), 1)
