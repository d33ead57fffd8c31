"""Spatial transformers: SpatialTransformer, and the losses and the shift that train with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.receptive_field import ReceptiveFields, all_places
from netc.ir.traits import Sees
from netc.layers._registry import register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor

THETAS = ("theta_1_1", "theta_1_2", "theta_1_3", "theta_2_1", "theta_2_2", "theta_2_3")
"""The elements of the affine matrix, row by row."""


@register("SpatialTransformer", dialect="stn", field="st_param")
@dataclass(frozen=True)
class SpatialTransformer(Layer):
    """Samples each image at the positions of a grid after an affine transform, linearly between its elements.

    Position (i, j) of the grid is (2 i / height - 1, 2 j / width - 1, 1), the first coordinate being vertical; the
    matrix, 2x3, yields the position in the image in the same units. What lies outside the image counts as 0.

    Shapes: (n, c, h, w) and the elements of the matrix that are not fixed (n, 6) to (n, c, output_h, output_w).

    >>> SpatialTransformer(output_h=4, theta_1_1=0.5).infer(((2, 3, 8, 6), (2, 5)), 1)
    ((2, 3, 4, 6),)

    Reference: `st_layer.cu` of K. Mo's SpatialTransformerLayer; Jaderberg et al., Spatial Transformer Networks, 2015.
    """

    output_h: int | None = None
    """Height of the top; None for that of the bottom."""
    output_w: int | None = None
    """Width of the top; None for that of the bottom."""
    to_compute_du: bool = True
    """Whether the images get a gradient."""
    theta_1_1: float | None = None
    """Fixed element of the matrix; None if it is in the second bottom."""
    theta_1_2: float | None = None
    """Fixed element of the matrix."""
    theta_1_3: float | None = None
    """Fixed element of the matrix."""
    theta_2_1: float | None = None
    """Fixed element of the matrix."""
    theta_2_2: float | None = None
    """Fixed element of the matrix."""
    theta_2_3: float | None = None
    """Fixed element of the matrix."""

    caffe_fields: ClassVar[CaffeFields] = {
        "output_h": ("st_param.output_H",),
        "output_w": ("st_param.output_W",),
        "to_compute_du": ("st_param.to_compute_dU",),
    }
    bottom_count: ClassVar[Count] = Count(2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for another transform or sampler, E103 for sizes that are not positive."""
        p = layer.message("st_param")
        for name, supported in (("transform_type", "affine"), ("sampler_type", "bilinear")):
            if p[name] != supported:
                fail(f"`{name}` is supported as `{supported}` only", code="E101", field=name)
        if p.get("de_transform", False):
            fail("`de_transform` is not supported", code="E101", field="de_transform")
        sizes = {name.lower(): p[name] for name in ("output_H", "output_W") if name in p}
        for name, size in sizes.items():
            positive((size,), name)
        return cls(**sizes, to_compute_du=p["to_compute_dU"], **{name: p[name] for name in THETAS if name in p})

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message."""
        names = {"output_h": "output_H", "output_w": "output_W", "to_compute_du": "to_compute_dU"}
        return {names.get(name, name): value for name, value in super().to_caffe().items()}

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """The images, if only the matrix is learned."""
        return () if self.to_compute_du else (0,)

    @property
    def fixed(self) -> tuple[float | None, ...]:
        """The elements of the matrix, None for those in the second bottom."""
        return tuple(getattr(self, name) for name in THETAS)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the bottoms are images and one matrix for each."""
        images, theta = bottoms
        if len(images) != 4 or not theta:
            fail(f"expected images (n, c, h, w) and their matrices, got {text(images)} and {text(theta)}",
                 field="bottom")  # fmt: skip
        free = self.fixed.count(None)
        if differ(theta[0], images[0]) or differ(product(theta[1:]), free):
            fail(f"expected {counted(free, 'element')} of the matrix for each of {counted(images[0], 'image')}, got "
                 f"{text(theta)}", field="bottom")  # fmt: skip
        n, c, h, w = images
        return ((n, c, h if self.output_h is None else self.output_h, w if self.output_w is None else self.output_w),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Eight operations per element of the top, and twelve per position for the grid."""
        n, _, h, w = tops[0]
        return Cost(operations=8 * product(tops[0]) + 12 * n * h * w)

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """All of the image, which the matrix selects from."""
        return all_places(fields[0], bottoms[0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """By torch's grid_sample: its coordinates are those of element centers, 1 / extent further on."""
        import torch
        import torch.nn.functional as F

        images, theta = bottoms
        images = images if self.to_compute_du else images.detach()
        h, w = images.shape[2:]
        matrix = self._matrix(theta.reshape(len(theta), -1))
        grid = base_grid(self.output_h or h, self.output_w or w, matrix)
        y, x = (grid @ matrix.transpose(1, 2).unsqueeze(1)).unbind(3)
        places = torch.stack((x + 1 / w, y + 1 / h), 3)
        return F.grid_sample(images, places, "bilinear", "zeros", align_corners=False)

    def _matrix(self, theta: Tensor) -> Tensor:
        """Return the matrices (n, 2, 3) with the fixed elements."""
        import torch

        free = iter(theta.unbind(1))
        one = theta.new_ones(len(theta))
        elements = [next(free) if value is None else one * value for value in self.fixed]
        return torch.stack(elements, 1).reshape(-1, 2, 3)


@register("STLoss", dialect="stn", field="st_loss_param")
@dataclass(frozen=True)
class STLoss(Layer):
    """Half the squared distance by which positions of a transformed grid lie outside the image, averaged over all.

    Shapes: matrices (n, 6) to a scalar.

    >>> STLoss(output_h=4, output_w=6).infer(((2, 6),), 1)
    ((),)

    Reference: `st_loss_layer.cu` of K. Mo's SpatialTransformerLayer.
    """

    output_h: int
    """Height of the grid."""
    output_w: int
    """Width of the grid."""

    caffe_fields: ClassVar[CaffeFields] = {
        "output_h": ("st_loss_param.output_H",),
        "output_w": ("st_loss_param.output_W",),
    }
    is_loss: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 unless both sizes are positive."""
        p = layer.message("st_loss_param")
        for name in ("output_H", "output_W"):
            positive((p[name],), name)
        return cls(p["output_H"], p["output_W"])

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message."""
        return {"output_H": self.output_h, "output_W": self.output_w}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the bottom holds six elements for each item."""
        if not bottoms[0] or differ(product(bottoms[0][1:]), 6):
            fail(f"expected matrices (n, 6), got {text(bottoms[0])}", field="bottom")
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Twenty operations per position of each grid."""
        return Cost(operations=20 * bottoms[0][0] * self.output_h * self.output_w)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Both coordinates of all positions at once."""
        matrix = bottoms[0].reshape(-1, 2, 3)
        places = base_grid(self.output_h, self.output_w, matrix) @ matrix.transpose(1, 2).unsqueeze(1)
        return _beyond(places, 1.0).square().sum() / places.numel()


@register("LocLoss", dialect="stn", field="loc_loss_param")
@dataclass(frozen=True)
class LocLoss(Layer):
    """Half the squared distance of elements from the interval -threshold to threshold, averaged over all elements.

    Shapes: any to a scalar.

    >>> LocLoss(threshold=0.5).infer(((2, 6),), 1)
    ((),)

    Reference: `loc_loss_layer.cu` of K. Mo's SpatialTransformerLayer. Elements within the interval have no gradient,
    which its code leaves as it was.
    """

    threshold: float
    """The end of the interval without a loss."""

    is_loss: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 unless `threshold` is positive."""
        result = super().from_caffe(layer)
        if not result.threshold > 0:
            fail(f"`threshold` is {result.threshold:g}: it must be positive", code="E103", field="threshold")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """A scalar."""
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Five operations per element."""
        return Cost(operations=5 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The mean over all elements."""
        return _beyond(bottoms[0], self.threshold).square().mean() / 2


def _beyond(x: Tensor, bound: float) -> Tensor:
    """Return the signed distance of each element from the interval -bound to bound."""
    return x - x.clamp(-bound, bound)


def base_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Return the positions (height, width, 3) of a grid before the transform: vertical, horizontal, 1."""
    import torch

    rows = torch.arange(height, dtype=like.dtype, device=like.device) / height * 2 - 1
    columns = torch.arange(width, dtype=like.dtype, device=like.device) / width * 2 - 1
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((y, x, torch.ones_like(x)), 2)
