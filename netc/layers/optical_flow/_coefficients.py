"""The coefficients of FlowNet2's augmentations: 42 numbers per item, drawn at random, and the positions they lead to.

A blob of coefficients (n, 42, 1, 1) holds the fields of AugmentationCoeff in the order of FlowNet2's `caffe.proto`;
those that are 1 by default as logarithms, so that coefficients of two augmentations are added.

Reference: `augmentation_layer_base.cpp` and `rng.cpp` of FlowNet2 (lmb-freiburg/flownet2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import fail

if TYPE_CHECKING:
    from torch import Tensor

Values = Mapping[str, "Tensor"]
"""Coefficients by name, not as logarithms."""

SPATIAL = ("mirror", "dx", "dy", "angle", "zoom_x", "zoom_y")
CHROMATIC = ("gamma", "brightness", "contrast", "color1", "color2", "color3")
_OF_EIGENVECTORS = ("pow_nomean", "add_nomean", "mult_nomean", "pow_withmean", "add_withmean", "mult_withmean")
EIGEN = (
    *(f"{name}{index}" for name in _OF_EIGENVECTORS for index in range(3)),
    *("lmult_pow", "lmult_add", "lmult_mult", "col_angle"),
)
EFFECTS = (
    *("fog_amount", "fog_size", "motion_blur_angle", "motion_blur_size"),
    *("shadow_angle", "shadow_distance", "shadow_strength", "noise"),
)
NAMES = (*SPATIAL, *CHROMATIC, *EIGEN, *EFFECTS)
COUNT = len(NAMES)
FACTORS = frozenset(
    name
    for name in NAMES
    if name.startswith(("zoom_", "color", "pow_", "mult_")) or name in ("gamma", "contrast", "lmult_pow", "lmult_mult")
)
"""Coefficients that are 1 by default, stored as logarithms; the others are 0."""
SMALLEST = 1e-3
"""DataAugmentation takes values that are closer to the default for the default."""
TRIES = 49
"""Draws of a transformation before none is applied: FlowNet2 makes 50, and discards the last one."""

SPATIAL_NUMBERS = ("mirror", "translate", "rotate", "zoom", "squeeze", "translate_x", "translate_y")
CHROMATIC_NUMBERS = ("gamma", "brightness", "contrast", "color")
EIGEN_NUMBERS = (
    *("lmult_pow", "lmult_mult", "lmult_add", "sat_pow", "sat_mult", "sat_add", "col_pow", "col_mult", "col_add"),
    *("ladd_pow", "ladd_mult", "ladd_add", "col_rotate"),
)
EFFECT_NUMBERS = (
    *("fog_amount", "fog_size", "motion_blur_angle", "motion_blur_size"),
    *("shadow_angle", "shadow_distance", "shadow_strength", "noise"),
)
"""Parameters that describe how coefficients are drawn."""

TYPES = ("uniform", "gaussian", "bernoulli", "uniform_bernoulli", "gaussian_bernoulli")


@dataclass(frozen=True)
class RandomNumber:
    """How a coefficient is drawn (RandomGeneratorParameter)."""

    rand_type: str = "uniform"
    """`uniform`, `gaussian`, `bernoulli`, `uniform_bernoulli` or `gaussian_bernoulli`."""
    exp: bool = False
    """Whether e is raised to the power of the number."""
    mean: float = 0.0
    spread: float = 0.0
    """Half of the interval of `uniform`, standard deviation of `gaussian`; the number is the mean unless positive."""
    prob: float = 1.0
    """Probability of 1 (`bernoulli`), or of a number instead of the default (`uniform_bernoulli`, ...)."""
    apply_schedule: bool = True
    """Whether the spread is multiplied by the coefficient of the schedule."""
    discretize: bool = False
    """Whether the number is rounded."""
    multiplier: float = 1.0
    """The last factor."""

    @staticmethod
    def read(message: Fields, name: str, path: str) -> RandomNumber | None:
        """Return the number in message field `name`, None if it is not set. Raises NetcError E103; `path` is shown."""
        if name not in message:
            return None
        given = message.message(name)
        result = RandomNumber(
            **{key: given.get(key, getattr(_DEFAULT, key)) for key in RandomNumber.__dataclass_fields__}
        )
        for key, problem in result._problems():
            fail(f"`{key}` of `{name}` {problem}", code="E103", field=f"{path}.{name}.{key}")
        return result

    def _problems(self) -> list[tuple[str, str]]:
        found = []
        if self.rand_type not in TYPES:
            known = ", ".join(f"`{known}`" for known in TYPES)
            found.append(("rand_type", f"is `{self.rand_type}`: expected one of {known}"))
        if not 0 <= self.prob <= 1:
            found.append(("prob", f"is {self.prob:g}: it must be from 0 to 1"))
        for key in ("mean", "spread", "multiplier"):
            if not math.isfinite(getattr(self, key)):
                found.append((key, f"is {getattr(self, key):g}: it must be finite"))
        return found

    def draw(self, shape: Shape, like: Tensor, discount: Tensor | float, otherwise: float | None = None) -> Tensor:
        """Return numbers of this shape; `otherwise` replaces those that a Bernoulli trial leaves out."""
        import torch

        if self.rand_type == "bernoulli":
            return self._finished(self._chosen(shape, like).to(like.dtype))
        number = self._spread(shape, like, discount)
        if not self.rand_type.endswith("_bernoulli"):
            return self._finished(number.exp() if self.exp else number)
        chosen = self._chosen(shape, like)
        number = torch.where(chosen, number, 0.0)
        number = self._finished(number.exp() if self.exp else number)
        return number if otherwise is None else torch.where(chosen, number, otherwise)

    def flags(self, shape: Shape, like: Tensor, discount: Tensor | float, otherwise: float | None = None) -> Tensor:
        """Return whether each of the numbers is not 0. FlowNet2 converts them before it rounds and multiplies them."""
        plain = RandomNumber(self.rand_type, self.exp, self.mean, self.spread, self.prob, self.apply_schedule)
        return (plain.draw(shape, like, discount, otherwise) != 0) & (self.multiplier != 0)

    def _spread(self, shape: Shape, like: Tensor, discount: Tensor | float) -> Tensor:
        import torch

        if self.rand_type.startswith("gaussian"):
            number = torch.randn(shape, dtype=like.dtype, device=like.device)
        else:
            number = torch.rand(shape, dtype=like.dtype, device=like.device) * 2 - 1
        spread = self.spread * (discount if self.apply_schedule else 1.0)
        spread = spread.clamp_min(0) if isinstance(spread, torch.Tensor) else max(spread, 0.0)
        return self.mean + spread * number

    def _chosen(self, shape: Shape, like: Tensor) -> Tensor:
        import torch

        return torch.rand(shape, dtype=like.dtype, device=like.device) < self.prob

    def _finished(self, number: Tensor) -> Tensor:
        if self.discretize:  # halves away from 0, as in C
            number = number.sign() * (number.abs() + 0.5).floor()
        return number * self.multiplier


_DEFAULT = RandomNumber()
Numbers = Mapping[str, RandomNumber]
"""The random numbers that a layer's parameters describe, by the name of the parameter."""


def check_coefficients(layer: str, bottom: Shape, items: int) -> None:
    """Raises NetcError E102 unless a bottom has 42 coefficients for each item."""
    if not bottom or differ(product(bottom[1:]), COUNT) or differ(bottom[0], items):
        wanted = text((items, COUNT, 1, 1))
        fail(f"`{layer}` expects coefficients of augmentation {wanted}, got {text(bottom)}", field="bottom")


# ---------------------------------------------------------------------- numbers and their arrays


def encoded(values: Values, shape: Shape, like: Tensor, names: tuple[str, ...] = NAMES) -> Tensor:
    """Return coefficients as an array (..., len(names)); those that `values` lacks are the default, 0."""
    import torch

    default = torch.zeros(shape, dtype=like.dtype, device=like.device)
    columns = [
        default if name not in values else values[name].log() if name in FACTORS else values[name] for name in names
    ]
    return torch.stack(columns, -1)


def decoded(array: Tensor, names: tuple[str, ...] = NAMES) -> dict[str, Tensor]:
    """Return the coefficients of an array (..., len(names)) by name."""
    return dict(zip(names, _selected(names, array.exp(), array).unbind(-1)))


def tidied(array: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the coefficients of an array (n, 42) by name, each (n, 1, 1), and which are not the default (n).

    Values close to the default are replaced by it.
    """
    import torch

    values = _selected(NAMES, array.exp(), array)
    deviations = _selected(NAMES, array.exp() - 1, array)
    close = deviations.abs() < SMALLEST
    values = values - torch.where(close, deviations, 0.0)
    by_item = values[:, :, None, None].unbind(1)
    return dict(zip(NAMES, by_item)), dict(zip(NAMES, (~close).unbind(1)))


def _selected(names: tuple[str, ...], factors: Tensor, others: Tensor) -> Tensor:
    """Return the columns of factors from one array, and the others from the other."""
    import torch

    parts, start = [], 0
    for is_factor, run in groupby(name in FACTORS for name in names):
        end = start + len(list(run))
        parts.append((factors if is_factor else others)[..., start:end])
        start = end
    return torch.cat(parts, -1)


# ---------------------------------------------------------------------- drawing


def chromatic(numbers: Numbers, items: int, like: Tensor, discount: Tensor | float) -> dict[str, Tensor]:
    """Draw the coefficients of brightness and colors."""
    found = {name: numbers[name].draw((items,), like, discount) for name in CHROMATIC_NUMBERS[:3] if name in numbers}
    if "color" in numbers:
        found |= {f"color{index}": numbers["color"].draw((items,), like, discount) for index in (1, 2, 3)}
    return found


def eigen(numbers: Numbers, items: int, like: Tensor, discount: Tensor | float) -> dict[str, Tensor]:
    """Draw the coefficients of the components along the eigenvectors of colors."""
    found: dict[str, Tensor] = {}

    def draw(name: str) -> Tensor:
        return numbers[name].draw((items,), like, discount)

    for kind in ("pow", "add", "mult"):
        if f"ladd_{kind}" in numbers:
            found[f"{kind}_nomean0"] = draw(f"ladd_{kind}")
        if f"col_{kind}" in numbers:
            found |= {f"{kind}_nomean{index}": draw(f"col_{kind}") for index in (1, 2)}
        if f"sat_{kind}" in numbers:
            found |= dict.fromkeys((f"{kind}_withmean1", f"{kind}_withmean2"), draw(f"sat_{kind}"))
        if f"lmult_{kind}" in numbers:
            found[f"lmult_{kind}"] = draw(f"lmult_{kind}")
    if "col_rotate" in numbers:
        found["col_angle"] = draw("col_rotate")
    return found


def effects(numbers: Numbers, items: int, like: Tensor, discount: Tensor | float) -> dict[str, Tensor]:
    """Draw the coefficients of fog, motion blur, shadows and noise; a part that is not described is 0."""
    found: dict[str, Tensor] = {}
    for group in (EFFECT_NUMBERS[:2], EFFECT_NUMBERS[2:4], EFFECT_NUMBERS[4:7]):
        if any(name in numbers for name in group):
            found |= {name: numbers.get(name, _DEFAULT).draw((items,), like, discount, 0.0) for name in group}
    if "noise" in numbers:
        found["noise"] = numbers["noise"].draw((items,), like, discount)
    return found


def spatial(
    numbers: Numbers, before: Tensor, discount: Tensor | float, crop: tuple[int, int], image: tuple[int, int]
) -> Tensor:
    """Draw transformations whose crop lies within the image, and return their coefficients (n, 6).

    They are added to those `before`, which are returned for items for which no draw fits.
    """
    import torch

    shape = (TRIES, len(before))
    total = encoded(_transformations(numbers, shape, before, discount), shape, before, SPATIAL) + before
    fits = _fits(decoded(total, SPATIAL), crop, image)
    first = fits.int().argmax(0)
    chosen = total.gather(0, first.reshape(1, -1, 1).expand(1, -1, len(SPATIAL))).squeeze(0)
    return torch.where(fits.any(0).unsqueeze(1), chosen, before)


def _transformations(numbers: Numbers, shape: Shape, like: Tensor, discount: Tensor | float) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def draw(name: str, otherwise: float) -> Tensor:
        return numbers[name].draw(shape, like, discount, otherwise)

    if "mirror" in numbers:  # FlowNet2 passes the default in place of the coefficient of the schedule
        found["mirror"] = numbers["mirror"].flags(shape, like, 0.0).to(like.dtype)
    if "translate" in numbers:
        found["dx"], found["dy"] = draw("translate", 0.0), draw("translate", 0.0)
    for name, axis in (("translate_x", "dx"), ("translate_y", "dy")):
        if name in numbers:
            found[axis] = draw(name, 0.0)
    if "rotate" in numbers:
        found["angle"] = draw("rotate", 0.0)
    if "zoom" in numbers:
        found["zoom_x"] = found["zoom_y"] = draw("zoom", 1.0)
    if "squeeze" in numbers:
        squeeze = draw("squeeze", 1.0)
        found["zoom_x"] = found.get("zoom_x", 1.0) * squeeze
        found["zoom_y"] = found.get("zoom_y", 1.0) / squeeze
    return found


def _fits(values: Values, crop: tuple[int, int], image: tuple[int, int]) -> Tensor:
    """Return whether all corners of the crop lie within the image, one pixel off its last row and column."""
    import torch

    inside: Tensor | None = None
    for across in (0, crop[1] - 1):
        for down in (0, crop[0] - 1):
            x, y = moved(values, across, down, crop, image)
            one = (x >= 0) & (x < image[1] - 1) & (y >= 0) & (y < image[0] - 1)
            inside = one if inside is None else inside & one
    assert isinstance(inside, torch.Tensor), "there are four corners"
    return inside


# ---------------------------------------------------------------------- positions


def moved(
    values: Values, x: Tensor | int, y: Tensor | int, crop: tuple[int, int], image: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return the positions in the image of positions x and y in the crop; sizes are heights and widths."""
    import torch

    sign = torch.where(values["mirror"] != 0, -1.0, 1.0).to(values["dx"].dtype)
    right, below = sign * (x - 0.5 * crop[1]), y - 0.5 * crop[0]
    cos, sin = values["angle"].cos(), values["angle"].sin()
    across = cos * right - sin * below + values["dx"] * crop[1]
    down = sin * right + cos * below + values["dy"] * crop[0]
    return across / values["zoom_x"] + 0.5 * image[1], down / values["zoom_y"] + 0.5 * image[0]


def moved_back(
    values: Values, x: Tensor, y: Tensor, crop: tuple[int, int], image: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return the positions in the crop of positions x and y in the image, the inverse of `moved`."""
    import torch

    across = (x - 0.5 * image[1]) * values["zoom_x"] - values["dx"] * crop[1]
    down = (y - 0.5 * image[0]) * values["zoom_y"] - values["dy"] * crop[0]
    cos, sin = values["angle"].cos(), values["angle"].sin()
    x, y = cos * across + sin * down, cos * down - sin * across
    x = torch.where(values["mirror"] != 0, -1.0, 1.0).to(x.dtype) * x
    return x + 0.5 * crop[1], y + 0.5 * crop[0]


def grid(size: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positions x (1, w) and y (h, 1) of the elements of a plane."""
    import torch

    rows, columns = (torch.arange(extent, dtype=like.dtype, device=like.device) for extent in size)
    return columns.reshape(1, -1), rows.reshape(-1, 1)
