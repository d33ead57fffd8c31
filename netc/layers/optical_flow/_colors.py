"""FlowNet2's augmentation of colors (n, 3, h, w): brightness, components along eigenvectors, shadows and noise.

Coefficients are tensors (n, 1, 1) by name. Reference: `data_augmentation_layer.cu` of FlowNet2 (lmb-freiburg/flownet2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from netc.layers.optical_flow._coefficients import Values

SMALL = 1e-2
"""Extents of the eigenspace up to this are not divided by."""


def contrasted(image: Tensor, values: Values, most: float) -> Tensor:
    """Return the image with other colors of the same sum, then gamma, brightness and contrast, from 0 to `most`."""
    import torch

    factors = torch.stack([values[f"color{index}"] for index in (1, 2, 3)], 1)
    colored = image * factors
    restored = colored * (image.sum(1, keepdim=True) / (colored.sum(1, keepdim=True) + 0.01))
    gamma, brightness, contrast = (values[name].unsqueeze(1) for name in ("gamma", "brightness", "contrast"))
    changed = restored.nan_to_num(1.0).clamp(0, 1).pow(gamma) + brightness
    return _limited(0.5 + (changed - 0.5) * contrast, most)


@dataclass(frozen=True)
class EigenSpace:
    """The components of a batch's colors along three vectors."""

    vectors: Tensor
    """One vector per row (3, 3)."""
    mean_color: Tensor
    mean: Tensor
    """The mean component divided by the extent, where that is not small."""
    extent: Tensor
    """The largest absolute component of the batch (3)."""
    length: Tensor
    """The length of the extents."""

    @classmethod
    def of(cls, image: Tensor, vectors: Sequence[float]) -> EigenSpace:
        """Return the space of a batch of images."""
        import torch

        matrix = image.new_tensor(vectors).reshape(3, 3)
        extent = torch.stack([part.abs().amax((0, 1, 2)) for part in _components(matrix, image)])
        mean_color = image.mean((0, 2, 3))
        mean = (matrix * mean_color).sum(1)
        return cls(matrix, mean_color, mean / _divisor(extent, extent), extent, extent.square().sum().sqrt())


def eigen_augmented(image: Tensor, values: Values, space: EigenSpace, most: float) -> Tensor:
    """Return the image with other components along the vectors of a space, and colors from 0 to `most`."""
    import torch

    large = space.extent > SMALL
    divisor = _divisor(space.extent, space.extent)
    centered = image - space.mean_color.reshape(3, 1, 1)
    parts = [part / divisor[i] for i, part in enumerate(_components(space.vectors, centered))]
    for i, part in enumerate(parts):
        changed = _power(part, values[f"pow_nomean{i}"]) + values[f"add_nomean{i}"]
        parts[i] = torch.where(large[i], changed * values[f"mult_nomean{i}"], part) + space.mean[i]
    lightness = _power(parts[0], values["pow_withmean0"]) + values["add_withmean0"]
    parts[0] = torch.where(large[0], lightness * values["mult_withmean0"], parts[0])

    saturation = (parts[1].square() + parts[2].square()).sqrt()
    gray = saturation <= SMALL
    positive = torch.where(gray, 1.0, saturation)
    colorful = (positive.pow(values["pow_withmean1"]) + values["add_withmean1"]).clamp_min(0)
    ratio = torch.where(gray, 1.0, colorful * values["mult_withmean1"] / positive)
    cos, sin = values["col_angle"].cos(), values["col_angle"].sin()
    parts[1:] = [cos * parts[1] - sin * parts[2], sin * parts[1] + cos * parts[2]]
    parts = [part * divisor[i] for i, part in enumerate(parts)]

    before = _length(parts) / _divisor(space.length, space.length)
    parts[1:] = [part * ratio for part in parts[1:]]
    wanted = (before.pow(values["lmult_pow"]) + values["lmult_add"]).clamp_min(0) * values["lmult_mult"] * space.length
    length = _length(parts)
    scaled = (space.length > SMALL) & (length > SMALL)
    factor = wanted / torch.where(scaled, length, 1.0)
    parts = [torch.where(scaled, torch.minimum(part * factor, space.extent[i]), part) for i, part in enumerate(parts)]
    return _limited(torch.stack(_components(space.vectors.t(), torch.stack(parts, 1)), 1), most)


def shaded(image: Tensor, values: Values, most: float) -> Tensor:
    """Return the image with a half plane in shadow, and colors from 0 to `most`."""
    import torch

    height, width = image.shape[2:]
    rows = torch.arange(height, dtype=image.dtype, device=image.device).reshape(-1, 1) - height // 2
    columns = torch.arange(width, dtype=image.dtype, device=image.device) - width // 2
    angle = values["shadow_angle"]
    dark = columns * angle.cos() + rows * angle.sin() - values["shadow_distance"] > 0
    shadow = torch.where(dark, values["shadow_strength"], 0.0)
    return _limited(image - shadow.unsqueeze(1), most)


def noisy(image: Tensor, values: Values) -> Tensor:
    """Return the image plus normal numbers, where their standard deviation is positive."""
    import torch

    return image + torch.randn_like(image) * values["noise"].unsqueeze(1).clamp_min(0)


def _components(matrix: Tensor, colors: Tensor) -> list[Tensor]:
    """Return the products of a matrix with the colors (n, 3, h, w), as three planes (n, h, w).

    Elementwise, since mixed precision and TF32 would round the products of a matrix product.
    """
    red, green, blue = colors.unbind(1)
    return [row[0] * red + row[1] * green + row[2] * blue for row in matrix.unbind(0)]


def _power(part: Tensor, exponent: Tensor) -> Tensor:
    """Return the power of the absolute value, with the sign of the value."""
    import torch

    power = part.abs().pow(exponent)
    return torch.where(part < 0, -power, power)


def _length(parts: Sequence[Tensor]) -> Tensor:
    import torch

    return torch.stack([part.square() for part in parts]).sum(0).sqrt()


def _divisor(extent: Tensor, size: Tensor) -> Tensor:
    """Return the extents, 1 where they are small."""
    import torch

    return torch.where(size > SMALL, extent, 1.0)


def _limited(image: Tensor, most: float) -> Tensor:
    """Return the image with values from 0 to `most`; NaN becomes a limit as in C."""
    return image.nan_to_num(most, most, 0.0).clamp_max(most).clamp_min(0)
