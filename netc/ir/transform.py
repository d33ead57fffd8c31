"""What a data layer does to each record before it leaves: Caffe's TransformationParameter as a value.

The layers take shapes from it, the data package takes the arithmetic; neither needs torch for that.
Rules from `data_transformer.cpp` (constructor, InferBlobShape, Transform).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN, Shape
from netc.ir.fields import Fields


@dataclass(frozen=True)
class Transform:
    """Crop, mirror, take the mean away and scale, in this order.

    >>> Transform(crop_size=227).shape((3, 256, 300))
    (3, 227, 227)
    """

    scale: float = 1.0
    """Factor, applied after the mean is taken away."""
    mirror: bool = False
    """Turn left to right, by chance."""
    crop_size: int = 0
    """Height and width of the crop: at a random place in training, the middle in testing; 0 does not crop."""
    mean_file: str | None = None
    """A BlobProto of the record's shape; excludes `mean_value`."""
    mean_value: tuple[float, ...] = ()
    """One for all channels, or one a channel."""
    force_color: bool = False
    """Decode encoded images to three channels."""
    force_gray: bool = False
    """Decode encoded images to one channel."""

    @staticmethod
    def read(layer: Fields) -> Transform:
        """The `transform_param` of a LayerParameter. Raises NetcError E101 for settings that exclude each other."""
        values = layer.message("transform_param")
        made = Transform(
            scale=values.get("scale", 1.0),
            mirror=values.get("mirror", False),
            crop_size=values.get("crop_size", 0),
            mean_file=values.get("mean_file", None),
            mean_value=tuple(values.get("mean_value", ())),
            force_color=values.get("force_color", False),
            force_gray=values.get("force_gray", False),
        )
        if made.mean_file is not None and made.mean_value:
            raise _excluding("mean_file", "mean_value")
        if made.force_color and made.force_gray:
            raise _excluding("force_color", "force_gray")
        return made

    def to_caffe(self) -> dict[str, Any]:
        """The TransformationParameter as plain values; defaults left out."""
        changed = ((f.name, getattr(self, f.name), f.default) for f in dataclasses.fields(self))
        return {name: value for name, value, default in changed if value != default}

    def shape(self, record: Shape | None) -> Shape:
        """Shape (c, h, w) of what leaves, given that of a decoded record, or None where no record can be seen.

        Raises NetcError E102 for a crop that is larger than the record, a record without channels, and for as many
        `mean_value`s as fit neither one nor every channel.
        """
        # Several mean values tell the channels of a record that nobody can look at.
        channels = len(self.mean_value) if len(self.mean_value) > 1 else UNKNOWN
        c, h, w = (channels, UNKNOWN, UNKNOWN) if record is None else record
        if c < 1:
            raise NetcError(f"a record of {c} channels", code="E102")
        if len(self.mean_value) > 1 and len(self.mean_value) != c:
            raise NetcError(
                f"{len(self.mean_value)} values of `mean_value` for {c} channels: give one, or one a channel",
                code="E102",
                field="transform_param.mean_value",
            )
        if not self.crop_size:
            return (c, h, w)
        if h < self.crop_size or w < self.crop_size:
            raise NetcError(
                f"`crop_size` {self.crop_size} is larger than a record of {h}x{w}",
                code="E102",
                field="transform_param.crop_size",
            )
        return (c, self.crop_size, self.crop_size)


def _excluding(one: str, other: str) -> NetcError:
    return NetcError(f"`{one}` and `{other}` exclude each other", code="E101", field=f"transform_param.{other}")
