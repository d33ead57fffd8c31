"""Convolution3D and Deconvolution3D of C3D: kernels with one extent along time and one for height and width."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from netc.ir.dims import Shape
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import CaffeFields, Shapes, Weights, fail
from netc.layers._registry import register
from netc.layers._windows import positive
from netc.layers.convolution import Convolution, Deconvolution, SlidingKernel
from netc.layers.volumes._plain import AsPlain
from netc.layers.volumes._windows import Window, check_volume, message, window, window_fields, written

NEW, OLD = "convolution3d_param", "convolution_param"
SAME = ("num_output", "bias_term", "weight_filler", "bias_filler")


@dataclass(frozen=True)
class VolumeKernel(AsPlain):
    """Base of both: a layer over three spatial axes with C3D's parameters and blobs."""

    num_output: int
    """Number of channels of the top."""
    kernel: Window
    """Extents of the kernel along time, height and width."""
    stride: Window = (1, 1, 1)
    """Distance between windows along time, height and width."""
    pad: Window = (0, 0, 0)
    """Zeros on both sides along time, height and width; for a deconvolution, elements removed from the top."""
    bias_term: bool = True
    """Whether a learned bias is added to each output channel."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the weights are initialized."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the bias is initialized."""

    caffe_fields: ClassVar[CaffeFields] = {
        **window_fields(NEW, OLD),
        **{name: (f"{NEW}.{name}", f"{OLD}.{name}") for name in SAME},
    }
    fork_fields: ClassVar[frozenset[str]] = frozenset(
        f"ConvolutionParameter.{name}" for name in ("kernel_depth", "temporal_stride", "temporal_pad", "filter_group")
    )
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    plain_type: ClassVar[type[SlidingKernel]]
    """BVLC's layer with the same arithmetic."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads C3D 1.1's message or C3D 1.0's. Raises NetcError E101, E103."""
        p = message(layer, NEW, OLD)
        if not p.get("num_output", 0):
            fail("`num_output` is missing", code="E101")
        result = cls(
            num_output=p["num_output"],
            kernel=window(p, "kernel"),
            stride=window(p, "stride", 1),
            pad=window(p, "pad", 0),
            bias_term=p["bias_term"],
            weight_filler=Filler.read(p, "weight_filler"),
            bias_filler=Filler.read(p, "bias_filler"),
        )
        result._check(p.get("filter_group", 1))
        return result

    def _check(self, groups: int) -> None:
        positive(self.kernel, "kernel_size")
        positive(self.stride, "stride")
        positive((groups,), "filter_group")
        if self.num_output % groups:
            fail(f"`num_output` {self.num_output} is not a multiple of `filter_group` {groups}", code="E103")

    def to_caffe(self) -> dict[str, Any]:
        """C3D 1.1's message."""
        values = super().to_caffe()
        for name in ("kernel", "stride", "pad"):
            if values.pop(name, None) is not None:
                values.update(written(getattr(self, name), name))
        return values

    @property
    def plain(self) -> SlidingKernel:
        """BVLC's layer with the same arithmetic."""
        windows = {"kernel": self.kernel, "stride": self.stride, "pad": self.pad, "bias_term": self.bias_term}
        fillers = {"weight_filler": self.weight_filler, "bias_filler": self.bias_filler}
        return self.plain_type(self.num_output, **windows, **fillers)  # type: ignore[arg-type]

    @property
    def spatial_axes(self) -> int:
        """Three."""
        return len(self.kernel)

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 if windows and the bottom do not match."""
        check_volume(self.type, bottoms)
        return self.plain.infer(bottoms, tops)

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`, whose kernel axes follow its two channel axes, and `bias` (1, 1, 1, 1, num_output)."""
        weight, *bias = self.plain.weights(bottoms)
        return (weight, *(replace(b, shape=(1, 1, 1, 1, self.num_output), torch_shape=b.shape) for b in bias))


@register("Convolution3D", dialect="c3d", field=NEW, v1="CONVOLUTION3D")
@dataclass(frozen=True)
class Convolution3D(VolumeKernel):
    """Convolves volumes with learned kernels over time, height and width.

    `filter_group` has no effect: it divides C3D's computation into parts, and every filter sees all channels.

    Shapes: (n, c, l, h, w) to (n, num_output, ol, oh, ow), ol = (l + 2 temporal_pad - kernel_depth) / temporal_stride
    + 1, oh = (h + 2 pad - kernel_size) / stride + 1.

    >>> Convolution3D(num_output=64, kernel=(3, 3, 3), pad=(1, 1, 1)).infer(((1, 3, 16, 112, 112),), 1)
    ((1, 64, 16, 112, 112),)

    Reference: `convolution3d_layer.cpp` of C3D (facebookarchive/C3D); Tran et al., Learning Spatiotemporal Features
    with 3D Convolutional Networks, 2015.
    """

    plain_type = Convolution


@register("Deconvolution3D", dialect="c3d", field=NEW, v1="DECONVOLUTION3D")
@dataclass(frozen=True)
class Deconvolution3D(VolumeKernel):
    """The transpose of a convolution of volumes: every element adds the kernel, multiplied by it, to the top.

    Shapes: (n, c, l, h, w) to (n, num_output, ol, oh, ow), ol = temporal_stride (l - 1) + kernel_depth
    - 2 temporal_pad, oh = stride (h - 1) + kernel_size - 2 pad.

    >>> Deconvolution3D(64, (4, 4, 4), (2, 2, 2), (1, 1, 1)).infer(((1, 512, 2, 7, 7),), 1)
    ((1, 64, 4, 14, 14),)

    Reference: `deconvolution3d_layer.cpp` of C3D (facebookarchive/C3D).
    """

    plain_type = Deconvolution
