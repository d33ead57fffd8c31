"""The parameters that DataAugmentation and GenerateAugmentationParameters have in common."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Layer, fail
from netc.layers.optical_flow._coefficients import (
    CHROMATIC_NUMBERS,
    EFFECT_NUMBERS,
    EIGEN_NUMBERS,
    SPATIAL_NUMBERS,
    Numbers,
    RandomNumber,
)

if TYPE_CHECKING:
    from torch import Tensor

SCHEDULE = ("half_life", "initial_coeff", "final_coeff")
GROWTH = 1.0986
"""ln 3 as FlowNet2 writes it: the coefficient of the schedule is half way after `half_life` passes."""


@dataclass(frozen=True)
class RandomAugmentation(Layer):
    """Base of the layers that draw coefficients of augmentation."""

    crop_width: int = 0
    """Width of the top; without it and `crop_height` nothing is augmented."""
    crop_height: int = 0
    """Height of the top."""
    augment_during_test: bool = False
    """Whether coefficients are drawn outside training too."""
    mirror: RandomNumber | None = None
    """Whether columns are in the opposite order."""
    translate: RandomNumber | None = None
    """Shift in both directions, each drawn on its own, as a share of the top's extents."""
    rotate: RandomNumber | None = None
    """Angle of the rotation, in radians."""
    zoom: RandomNumber | None = None
    """Factor by which the image is enlarged."""
    squeeze: RandomNumber | None = None
    """Factor of the horizontal zoom and divisor of the vertical one."""
    translate_x: RandomNumber | None = None
    """Horizontal shift, in place of that of `translate`."""
    translate_y: RandomNumber | None = None
    """Vertical shift, in place of that of `translate`."""
    gamma: RandomNumber | None = None
    """Exponent of each color."""
    brightness: RandomNumber | None = None
    """Addend of each color."""
    contrast: RandomNumber | None = None
    """Factor of the distance of each color to 0.5."""
    color: RandomNumber | None = None
    """Factor of each color, drawn for each on its own; the sum of the colors is then restored."""
    lmult_pow: RandomNumber | None = None
    """Exponent of the length of the color vector."""
    lmult_mult: RandomNumber | None = None
    """Factor of the length of the color vector."""
    lmult_add: RandomNumber | None = None
    """Addend of the length of the color vector."""
    sat_pow: RandomNumber | None = None
    """Exponent of the saturation."""
    sat_mult: RandomNumber | None = None
    """Factor of the saturation."""
    sat_add: RandomNumber | None = None
    """Addend of the saturation."""
    col_pow: RandomNumber | None = None
    """Exponent of the second and the third component, without the mean."""
    col_mult: RandomNumber | None = None
    """Factor of the second and the third component, without the mean."""
    col_add: RandomNumber | None = None
    """Addend of the second and the third component, without the mean."""
    ladd_pow: RandomNumber | None = None
    """Exponent of the first component, without the mean."""
    ladd_mult: RandomNumber | None = None
    """Factor of the first component, without the mean."""
    ladd_add: RandomNumber | None = None
    """Addend of the first component, without the mean."""
    col_rotate: RandomNumber | None = None
    """Angle by which the second and the third component are rotated, in radians."""
    fog_amount: RandomNumber | None = None
    """Amount of fog, which FlowNet2 does not draw."""
    fog_size: RandomNumber | None = None
    """Size of fog, which FlowNet2 does not draw."""
    motion_blur_angle: RandomNumber | None = None
    """Direction of motion blur, which FlowNet2 does not draw."""
    motion_blur_size: RandomNumber | None = None
    """Length of motion blur, which FlowNet2 does not draw."""
    shadow_angle: RandomNumber | None = None
    """Direction of a half plane in shadow."""
    shadow_distance: RandomNumber | None = None
    """Distance of the shadow from the center, in pixels."""
    shadow_strength: RandomNumber | None = None
    """What a shadow subtracts from each color."""
    noise: RandomNumber | None = None
    """Standard deviation of normal numbers that are added."""
    half_life: float = 1.0
    """Passes after which the factor of spreads is half way between `initial_coeff` and `final_coeff`."""
    initial_coeff: float = 1.0
    """Factor of spreads at the start."""
    final_coeff: float = 1.0
    """Factor of spreads in the end."""

    caffe_fields: ClassVar[CaffeFields] = {name: (f"coeff_schedule_param.{name}",) for name in SCHEDULE}

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `augmentation_param` and `coeff_schedule_param`. Raises NetcError E103 for invalid numbers."""
        messages = {name: layer.message(name) for name in ("augmentation_param", "coeff_schedule_param")}
        values: dict[str, Any] = {}
        for one in dataclasses.fields(cls):
            if not cls.fields_of(one.name):
                continue  # what no file sets
            path, name = cls.fields_of(one.name)[0].split(".")
            message = messages[path]
            if one.name in NUMBERS:
                values[one.name] = RandomNumber.read(message, name, path)
            elif name in message:
                values[one.name] = tuple(message[name]) if isinstance(message[name], list) else message[name]
        result = cls(**values)
        result.check()
        return result

    def check(self) -> None:
        """Raises NetcError E103 for a schedule that has no value."""
        for name in SCHEDULE:
            value = getattr(self, name)
            if not math.isfinite(value) or (name == "half_life" and value <= 0):
                wanted = "positive" if name == "half_life" else "finite"
                fail(f"`{name}` is {value:g}: it must be {wanted}", code="E103", field=f"coeff_schedule_param.{name}")

    def to_caffe(self) -> dict[str, Any]:
        """Both messages by name, without defaults."""
        values = super().to_caffe()
        schedule = {name: values.pop(name) for name in SCHEDULE if name in values}
        messages = {"augmentation_param": values, "coeff_schedule_param": schedule}
        return {name: message for name, message in messages.items() if message}

    @property
    def crop(self) -> tuple[int, int] | None:
        """Height and width of the top, None if the image is not cropped."""
        return (self.crop_height, self.crop_width) if self.crop_height and self.crop_width else None

    @property
    def numbers(self) -> Numbers:
        """The random numbers that are described, by name."""
        found = {name: getattr(self, name) for name in NUMBERS}
        return {name: number for name, number in found.items() if number is not None}

    def draws(self, training: bool, names: tuple[str, ...]) -> bool:
        """Whether some of these numbers are drawn."""
        return (training or self.augment_during_test) and any(name in self.numbers for name in names)

    @property
    def is_scheduled(self) -> bool:
        """Whether spreads change from pass to pass."""
        changes = self.initial_coeff != self.final_coeff
        return changes and any(number.apply_schedule and number.spread for number in self.numbers.values())

    def discount(self, passes: Tensor) -> Tensor | float:
        """The factor of spreads in a pass, which are numbered from 1."""
        if not self.is_scheduled:
            return self.initial_coeff
        share = 2 / (1 + (-GROWTH * passes / self.half_life).exp()) - 1
        return self.initial_coeff + (self.final_coeff - self.initial_coeff) * share


NUMBERS = (*SPATIAL_NUMBERS, *CHROMATIC_NUMBERS, *EIGEN_NUMBERS, *EFFECT_NUMBERS)
"""The parameters that are random numbers."""
