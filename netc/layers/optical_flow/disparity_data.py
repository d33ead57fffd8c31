"""DisparityData of DispNet: disparities from a list of .pfm files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from netc.ir.dims import Shape
from netc.ir.fields import Fields
from netc.ir.image_size import ImageSize
from netc.ir.layer import Cost, Count, DataLayer, Shapes, fail
from netc.ir.traits import FedBy
from netc.ir.transform import Transform
from netc.layers._registry import register
from netc.layers.data import check_resize


@register("DisparityData", dialect="flownet2", field="image_data_param")
@dataclass(frozen=True)
class DisparityData(DataLayer):
    """Negated numbers of .pfm files, and labels, from a list file with a path and a number per line.

    Disparities are positive in such files; DispNet computes them as negative shifts. They are not transformed, each
    file has the size that the layer names, and `is_color` must be false: of three planes FlowNet2 reads only the first.

    Shapes: to (batch_size, 1, new_height, new_width) and (batch_size).

    >>> DisparityData(source="list.txt", batch_size=4, new_height=384, new_width=768).batch(None, 2)
    ((4, 1, 384, 768), (4,))

    Reference: `disparity_data_layer.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    source: str = ""
    """Path of the list file."""
    batch_size: int = 1
    """Number of files per batch."""
    rand_skip: int = 0
    """Skip a random number of lines, up to this, at the start."""
    shuffle: bool = False
    """Whether the list is shuffled in each epoch."""
    new_height: int = 0
    """Height of each file, which is not resized."""
    new_width: int = 0
    """Width of each file."""
    root_folder: str = ""
    """Prefix of each path, without a separator."""

    top_count: ClassVar[Count] = Count(2)
    fed_by: ClassVar[FedBy] = "disparities"
    is_color: ClassVar[bool] = False
    """The files have one plane."""
    size: ClassVar[ImageSize] = ImageSize()
    """They are not resized."""
    transform: ClassVar[Transform] = Transform()
    """They are not transformed."""
    factor: ClassVar[float] = 1.0

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 without a source or size and with `transform_param`, E103 for color, E104."""
        result = super().from_caffe(layer)
        if "transform_param" in layer:
            fail("`DisparityData` does not support `transform_param`", code="E101", field="transform_param")
        if layer.message("image_data_param")["is_color"]:
            fail("`DisparityData` reads one plane", code="E103", field="is_color", help="set `is_color: false`")
        if not result.source:
            fail("`source` is missing", code="E101", field="source")
        if result.batch_size < 1:
            fail("`batch_size` must be positive", code="E103", field="batch_size")
        check_resize(result.new_height, result.new_width, "image_data_param")
        if not result.new_height:
            fail("`new_height` and `new_width` are missing", code="E101", field="image_data_param")
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with the only `is_color`."""
        return {**super().to_caffe(), "is_color": False}

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """One plane of the size that the layer names, and the label or labels."""
        labels = record[1] if record is not None else ()
        return ((self.batch_size, 1, self.new_height, self.new_width), (self.batch_size, *labels))

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """`shuffle`."""
        return ("shuffle",) * self.shuffle

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the files are read outside the net."""
        return Cost()
