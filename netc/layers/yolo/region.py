"""Region, RegionYolo: the activations of YOLO's predictions, as OpenVINO's Caffe computes them for inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import register
from netc.layers.reshape import Flatten
from netc.layers.yolo._grid import check_prediction, split

if TYPE_CHECKING:
    from torch import Tensor


@register("Region", dialect="openvino", field="region_param")
@dataclass(frozen=True)
class Region(Layer):
    """Activates predictions: the sigmoid of the position and the objectness of each box, the softmax of its classes.

    Width, height and further coordinates are copied. The channels of a box are its coordinates, the objectness, and the
    classes.

    Shapes: (n, num (coords + 1 + classes), h, w), kept.

    >>> Region(num=5).infer(((1, 125, 13, 13),), 1)
    ((1, 125, 13, 13),)

    Reference: `region_layer.cpp` of OpenVINO's Caffe, which does not train it; the gradient here is the derivative.
    """

    coords: int = 4
    """Number of coordinates of a box; the position is the first two."""
    classes: int = 20
    """Number of classes."""
    num: int = 1
    """Number of boxes of a place."""

    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @property
    def _boxes(self) -> int:
        return self.num

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for another number of channels, E103 for counts that are too small."""
        for name, least in (("coords", 2), ("classes", 1), ("num", 1)):
            if getattr(self, name) < least:
                fail(f"`{name}` must be at least {least}", code="E103", field=name)
        check_prediction(bottoms[0], self._boxes, self.coords + 1 + self.classes)
        return (bottoms[0],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """About four operations per element."""
        return Cost(operations=4 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        parts = split(bottoms[0], self._boxes)
        position, size, objectness, classes = parts.split_with_sizes((2, self.coords - 2, 1, self.classes), 2)
        chances = self._probabilities(classes)
        return torch.cat((position.sigmoid(), size, objectness.sigmoid(), chances), 2).reshape(bottoms[0].shape)

    def _probabilities(self, scores: Tensor) -> Tensor:
        return scores.softmax(2)


@register("RegionYolo", dialect="openvino", field="region_yolo_param")
@dataclass(frozen=True)
class RegionYolo(Region):
    """Activates predictions as Region does; without `do_softmax`, classes have the sigmoid, and axes are kept.

    Shapes: (n, boxes (coords + 1 + classes), h, w), of which `axis` to `end_axis` are merged if `do_softmax` is set.
    The boxes are `num`, or without `do_softmax` those in `mask`.

    >>> RegionYolo(num=5).infer(((1, 125, 13, 13),), 1)
    ((1, 21125),)
    >>> RegionYolo(classes=80, num=9, do_softmax=False, mask=(0, 1, 2)).infer(((1, 255, 13, 13),), 1)
    ((1, 255, 13, 13),)

    Reference: `region_yolo_layer.cpp` of OpenVINO's Caffe, and OpenVINO's operation RegionYolo-1 for `do_softmax`.
    """

    do_softmax: bool = True
    """Whether classes compete (YOLO v2); otherwise each is judged on its own (YOLO v3)."""
    anchors: tuple[float, ...] = ()
    """Widths and heights of boxes; read by programs that decode the boxes, not by the layer."""
    mask: tuple[int, ...] = ()
    """Indices of the boxes that the layer predicts, without `do_softmax`."""
    axis: int = 1
    """First axis that is merged."""
    end_axis: int = -1
    """Last axis that is merged, included."""

    caffe_fields: ClassVar[CaffeFields] = {
        "axis": ("flatten_param.axis",),
        "end_axis": ("flatten_param.end_axis",),
    }

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `region_yolo_param` and `flatten_param`."""
        own, merged = layer.message("region_yolo_param"), layer.message("flatten_param")
        values: dict[str, Any] = {name: own[name] for name in ("coords", "classes", "num", "do_softmax")}
        values |= {name: tuple(own[name]) for name in ("anchors", "mask")}
        return cls(**values, axis=merged["axis"], end_axis=merged["end_axis"])

    def to_caffe(self) -> dict[str, Any]:
        """The two messages by name, without defaults."""
        values = super().to_caffe()
        merged = {name: values.pop(name) for name in ("axis", "end_axis") if name in values}
        return {"region_yolo_param": values, **({"flatten_param": merged} if merged else {})}

    @property
    def sees(self) -> Sees:  # type: ignore[override]
        """All places where they are merged."""
        return "all" if self.do_softmax else "place"

    @property
    def rearranges(self) -> bool:  # type: ignore[override]
        """Where classes compete."""
        return self.do_softmax

    @property
    def _boxes(self) -> int:
        return self.num if self.do_softmax or not self.mask else len(self.mask)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 to E103 for counts, channels and axes that do not fit."""
        kept = super().infer(bottoms, tops)
        return Flatten(self.axis, self.end_axis).infer(kept, tops) if self.do_softmax else kept

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        top = super().forward(bottoms, weights, mode)
        return Flatten(self.axis, self.end_axis).forward((top,), weights, mode) if self.do_softmax else top

    def _probabilities(self, scores: Tensor) -> Tensor:
        return super()._probabilities(scores) if self.do_softmax else scores.sigmoid()
