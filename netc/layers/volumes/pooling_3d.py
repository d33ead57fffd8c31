"""Pooling3D of C3D: the maximum or the mean of windows over time, height and width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from netc.ir.dims import Shape, product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Shapes, fail
from netc.layers._registry import register
from netc.layers._windows import positive
from netc.layers.pooling import Pooling
from netc.layers.volumes._plain import AsPlain
from netc.layers.volumes._windows import Window, check_volume, message, window, window_fields, written

if TYPE_CHECKING:
    from torch import nn

NEW, OLD = "pooling3d_param", "pooling_param"


@dataclass(frozen=True)
class UnclippedPooling(Pooling):
    """Pooling that also keeps windows which start in the padding."""

    @property
    def clips(self) -> bool:
        """False: C3D has no rule about such windows."""
        return False


@register("Pooling3D", dialect="c3d", field=NEW, v1="POOLING3D")
@dataclass(frozen=True)
class Pooling3D(AsPlain):
    """Reduces each window of a volume to its maximum or mean; windows are clipped to the volume.

    `MAX` passes the gradient to the first of equal maxima; C3D passes it to each of them. `AVE` divides by the extent
    of the window clipped to the padded volume. Nothing is padded along time.

    Shapes: (n, c, l, h, w) to (n, c, ol, oh, ow), ol = ceil((l - kernel_depth) / temporal_stride) + 1,
    oh = ceil((h + 2 pad - kernel_size) / stride) + 1.

    >>> Pooling3D((1, 2, 2), stride=(1, 2, 2)).infer(((1, 64, 16, 112, 112),), 1)
    ((1, 64, 16, 56, 56),)

    Reference: `pool3d_layer.cpp` of C3D (facebookarchive/C3D).
    """

    kernel: Window
    """Extents of each window along time, height and width."""
    pool: Literal["MAX", "AVE"] = "MAX"
    """How each window is reduced."""
    stride: Window = (1, 1, 1)
    """Distance between windows along time, height and width."""
    pad: Window = (0, 0, 0)
    """Padding on both sides along height and width, for `AVE`; none along time."""

    caffe_fields: ClassVar[CaffeFields] = {
        **window_fields(NEW, OLD),
        "pad": (f"{NEW}.pad", f"{OLD}.pad"),
        "pool": (f"{NEW}.pool", f"{OLD}.pool"),
    }
    fork_fields: ClassVar[frozenset[str]] = frozenset(
        f"PoolingParameter.{name}" for name in ("kernel_depth", "temporal_stride", "temporal_pad")
    )
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads C3D 1.1's message or C3D 1.0's; `temporal_pad` is ignored. Raises NetcError E101, E103."""
        p = message(layer, NEW, OLD)
        plane_pad = window(p, "pad", 0)[1]
        result = cls(window(p, "kernel"), p["pool"], window(p, "stride", 1), (0, plane_pad, plane_pad))
        result._check()
        return result

    def to_caffe(self) -> dict[str, Any]:
        """C3D 1.1's message."""
        values: dict[str, Any] = written(self.kernel, "kernel")
        for name, default in (("stride", 1), ("pad", 0)):
            extents = written(getattr(self, name), name)
            values |= {field: value for field, value in extents.items() if value != default}
        return values | ({"pool": self.pool} if self.pool != "MAX" else {})

    def _check(self) -> None:
        positive(self.kernel, "kernel_size")
        positive(self.stride, "stride")
        if self.pool not in ("MAX", "AVE"):
            fail(f"C3D has no `{self.pool}` pooling of volumes", code="E103", field="pool")
        if any(self.pad) and self.pool == "MAX":
            fail("`pad` requires `pool: AVE`", code="E101", field="pad")

    @property
    def plain(self) -> UnclippedPooling:
        """BVLC's layer with the same arithmetic."""
        return UnclippedPooling(self.pool, self.kernel, self.stride, self.pad)

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 if windows and the bottom do not match."""
        check_volume(self.type, bottoms)
        return self.plain.infer(bottoms, 1)[:1]

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison or addition per element of each window."""
        return Cost(operations=product(tops[0]) * product(self.kernel))

    @property
    def spatial_axes(self) -> int:
        """Three."""
        return len(self.kernel)

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.MaxPool3d or AvgPool3d if they have the same windows for every input size."""
        from torch import nn

        if any(self.pad) or not self.plain.stays_inside:
            return None
        pooling: Any = nn.MaxPool3d if self.pool == "MAX" else nn.AvgPool3d
        result: nn.Module = pooling(self.kernel, self.stride, ceil_mode=True)
        return result
