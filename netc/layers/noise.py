"""Noise: random numbers are added to the bottom, or multiply it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.fields import Fields
from netc.ir.layer import Layer, Mode, fail
from netc.ir.traits import Elements, Sees
from netc.layers._registry import LayerUse, register

if TYPE_CHECKING:
    from torch import Tensor


@register("Noise", dialect="happynear", field="noise_param")
@dataclass(frozen=True)
class AddedNoise(Layer):
    """In training, adds random numbers; the identity in test.

    The numbers are normal with mean `bias` and a standard deviation of `gaussian_std` times the root mean square of the
    bottom, or uniform within `uniform_range` of `bias`. The gradient is that of the identity.

    Shapes: any, kept.

    >>> AddedNoise(gaussian_std=0.1).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `noise_layer.cpp` of happynear's Caffe.
    """

    gaussian_std: float | None = None
    """Ratio of the standard deviation to the bottom's root mean square; if not set, numbers are uniform."""
    uniform_range: float | None = None
    """Greatest distance of uniform numbers from `bias`; if neither is set, nothing is added."""
    bias: float = 0.0
    """Mean of the numbers."""

    in_place = True
    is_identity_in_test: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @property
    def elements(self) -> Elements:  # type: ignore[override]
        """Uniform noise is added whatever the bottom holds; that of a normal distribution depends on all of it."""
        return "scaled" if self.gaussian_std is None else "computed"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        if not mode.training:
            return x
        with torch.no_grad():
            noise = self._noise(x)
        return x if noise is None else x + noise

    def _noise(self, x: Tensor) -> Tensor | None:
        import torch

        if self.gaussian_std is not None:
            return self.bias + torch.randn_like(x) * (self.gaussian_std * x.square().mean().sqrt())
        if self.uniform_range is not None:
            return self.bias + (2 * torch.rand_like(x) - 1) * self.uniform_range
        return None


def has_moments(use: LayerUse) -> bool:
    """Whether a Noise layer has the parameters of BVLC's opencl branch."""
    return any(name in use.parameters.message("noise_param") for name in ("mu", "sigma"))


@register("Noise", dialect="opencl", field="noise_param", when=has_moments)
@dataclass(frozen=True)
class NoiseOfItems(Layer):
    """In training, multiplies each item by a normal random number; in test, the top is 0.

    Chosen if `mu` or `sigma` is set.

    Shapes: (n, ...), kept.

    >>> NoiseOfItems(mu=1.0, sigma=0.1).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `noise_layer.cpp` of BVLC Caffe's opencl branch.
    """

    mu: float
    """Mean of the numbers."""
    sigma: float
    """Their standard deviation."""

    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 if one of the parameters is missing."""
        p = layer.message("noise_param")
        for name in ("mu", "sigma"):
            if name not in p:
                fail(f"`{name}` is missing", code="E101", help=f"set `noise_param {{ {name}: ... }}`")
        return super().from_caffe(layer)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        if not mode.training:
            return x * 0
        return x * (self.mu + self.sigma * torch.randn(len(x), *[1] * (x.dim() - 1), dtype=x.dtype, device=x.device))
