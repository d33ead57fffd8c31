"""NdConvolution and NdPooling of video-caffe: windows with extents of their own along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import CaffeFields, Count, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers._windows import positive
from netc.layers.convolution import Convolution
from netc.layers.pooling import Pooling
from netc.layers.volumes._plain import AsPlain

if TYPE_CHECKING:
    from torch import Tensor, nn

NAMES = {"kernel": "kernel_shape", "stride": "stride_shape", "pad": "pad_shape"}


@dataclass(frozen=True)
class NdWindows(AsPlain):
    """Base of both: how windows are read and written."""

    message: ClassVar[str]
    """The parameter message."""
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def _windows(cls, layer: Fields) -> dict[str, tuple[int, ...]]:
        """Kernel, stride and pad; no kernel may be in the file."""
        p = layer.message(cls.message)
        found = {name: tuple(p.message(shape).get("dim", ())) for name, shape in NAMES.items()}
        axes = len(found["kernel"])
        for name in ("stride", "pad"):
            if len(found[name]) not in (0, axes):
                message = f"`{NAMES[name]}` has {counted(len(found[name]), 'number')}, `kernel_shape` has {axes}"
                fail(message, code="E101", field=NAMES[name])
        for name in ("kernel", "stride"):
            positive(found[name], NAMES[name])
        if any(pad < 0 for pad in found["pad"]):
            fail("`pad_shape` is negative", code="E103", field="pad_shape")
        return found

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with windows as messages."""
        values = super().to_caffe()
        given = {NAMES[name]: {"dim": list(values.pop(name))} for name in NAMES if name in values}
        return {**values, **given}

    @staticmethod
    def window_fields(message: str) -> CaffeFields:
        """The fields of the windows."""
        return {name: (f"{message}.{shape}",) for name, shape in NAMES.items()}

    def _check_axes(self, bottoms: Shapes) -> None:
        """Raises NetcError E102 if a bottom has another number of axes than the windows."""
        for bottom in bottoms:
            if self.spatial_axes and len(bottom) != self.spatial_axes + 2:
                axes = counted(len(bottom), "axis")
                message = (
                    f"`kernel_shape` has {self.spatial_axes} numbers, so a bottom requires {self.spatial_axes + 2}"
                )
                fail(f"{message} axes (n, c, ...), got {axes}", field="bottom")


@register("NdConvolution", dialect="video_caffe", field="convolution_param")
@dataclass(frozen=True)
class NdConvolution(NdWindows):
    """Convolves each bottom with the same learned kernels, over all axes after the channels.

    The original leaves out axes of the top with the extent 1, and cuDNN then rejects the shape; here they stay.

    Shapes: (n, c, l, h, w) to (n, num_output, ol, oh, ow), ol = (l + 2 pad - kernel) / stride + 1 and so on.

    >>> NdConvolution(64, (3, 3, 3), pad=(1, 1, 1)).infer(((1, 3, 16, 112, 112),), 1)
    ((1, 64, 16, 112, 112),)

    Reference: `cudnn_ndconv_layer.cpp` of chuckcho/video-caffe.
    """

    num_output: int
    """Number of channels of the top."""
    kernel: tuple[int, ...]
    """Extents of the kernel, one for each spatial axis."""
    stride: tuple[int, ...] = ()
    """Distance between windows along each axis; 1 without the field."""
    pad: tuple[int, ...] = ()
    """Zeros on both sides along each axis; none without the field."""
    group: int = 1
    """Number of groups that the channels are divided into, each with its own kernels."""
    bias_term: bool = True
    """Whether a learned bias is added to each output channel."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the weights are initialized."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the bias is initialized."""

    message: ClassVar[str] = "convolution_param"
    caffe_fields: ClassVar[CaffeFields] = NdWindows.window_fields("convolution_param")
    fork_fields: ClassVar[frozenset[str]] = frozenset(f"ConvolutionParameter.{name}" for name in NAMES.values())
    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(1, None)
    same_count: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101, E103."""
        p, windows = layer.message(cls.message), cls._windows(layer)
        if not windows["kernel"]:
            fail("`kernel_shape` is missing", code="E101")
        result = cls(
            num_output=p["num_output"],
            kernel=windows["kernel"],
            stride=windows["stride"],
            pad=windows["pad"],
            group=p["group"],
            bias_term=p["bias_term"],
            weight_filler=Filler.read(p, "weight_filler"),
            bias_filler=Filler.read(p, "bias_filler"),
        )
        positive((result.num_output,), "num_output")
        positive((result.group,), "group")
        if result.num_output % result.group:
            fail(f"`num_output` {result.num_output} is not a multiple of `group` {result.group}", field="group")
        return result

    @property
    def spatial_axes(self) -> int:
        """As many as the kernel has extents."""
        return len(self.kernel)

    @property
    def plain(self) -> Convolution:
        """BVLC's layer with the same arithmetic."""
        return Convolution(
            self.num_output,
            self.kernel,
            self.stride or (1,),
            self.pad or (0,),
            group=self.group,
            bias_term=self.bias_term,
            weight_filler=self.weight_filler,
            bias_filler=self.bias_filler,
        )

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 if windows, groups and bottoms do not match."""
        self._check_axes(bottoms)
        return super().infer(bottoms, tops)


@register("NdPooling", dialect="video_caffe", field="pooling_param")
@dataclass(frozen=True)
class NdPooling(NdWindows):
    """Reduces each window over all axes after the channels to its maximum or mean.

    `AVE` divides by the extent of the whole window, padding and anything beyond it included, as cuDNN does.

    Shapes: (n, c, l, h, w) to (n, c, ol, oh, ow), ol = ceil((l + 2 pad - kernel) / stride) + 1 and so on, where a
    window that would start in the padding after the volume is omitted. With `global_pooling` all of them are 1.

    >>> NdPooling((1, 2, 2), stride=(1, 2, 2)).infer(((1, 64, 16, 112, 112),), 1)
    ((1, 64, 16, 56, 56),)

    Reference: `cudnn_ndpooling_layer.cpp` of chuckcho/video-caffe.
    """

    kernel: tuple[int, ...]
    """Extents of each window, one for each spatial axis; none for all of the volume (`global_pooling`)."""
    stride: tuple[int, ...] = ()
    """Distance between windows along each axis; 1 without the field."""
    pad: tuple[int, ...] = ()
    """Padding on both sides along each axis, less than the kernel; none without the field."""
    pool: Literal["MAX", "AVE"] = "MAX"
    """How each window is reduced."""

    message: ClassVar[str] = "pooling_param"
    caffe_fields: ClassVar[CaffeFields] = {
        **NdWindows.window_fields("pooling_param"),
        "kernel": ("pooling_param.kernel_shape", "pooling_param.global_pooling"),
    }
    fork_fields: ClassVar[frozenset[str]] = frozenset(f"PoolingParameter.{name}" for name in NAMES.values())

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101, E103."""
        p, windows = layer.message(cls.message), cls._windows(layer)
        if p["pool"] not in ("MAX", "AVE"):
            fail(f"`NdPooling` does not support `{p['pool']}`", code="E103", field="pool")
        if p["global_pooling"]:
            if any(windows["pad"]):
                fail("`global_pooling` does not support `pad_shape`", code="E101", field="pad_shape")
            return cls((), pool=p["pool"])
        if not windows["kernel"]:
            fail("`kernel_shape` is missing", code="E101")
        for pad, kernel in zip(windows["pad"], windows["kernel"]):
            if pad >= kernel:
                fail(f"padding of {pad} is not less than the kernel of {kernel}", code="E103", field="pad_shape")
        return cls(windows["kernel"], windows["stride"], windows["pad"], p["pool"])

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message."""
        if self.kernel:
            return super().to_caffe()
        return {"global_pooling": True, **({"pool": self.pool} if self.pool != "MAX" else {})}

    @property
    def spatial_axes(self) -> int:
        """As many as the kernel has extents; any for the whole volume."""
        return len(self.kernel)

    @property
    def plain(self) -> Pooling:
        """BVLC's layer with the same windows, and the same maxima."""
        if not self.kernel:
            return Pooling(self.pool)
        axes = len(self.kernel)
        return Pooling(self.pool, self.kernel, self.stride or (1,) * axes, self.pad or (0,) * axes)

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 if windows and the bottom do not match."""
        self._check_axes(bottoms)
        return self.plain.infer(bottoms, 1)[:1]

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """None for `AVE`, otherwise as BVLC's layer."""
        return None if self.pool == "AVE" else super().module(bottoms, tops)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor | tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        (x,) = bottoms
        axes = tuple(range(2, x.dim()))
        if not self.kernel:
            return x.amax(axes, True) if self.pool == "MAX" else x.mean(axes, True)
        if self.pool == "MAX":
            return self.plain.forward(bottoms, weights, mode)
        frames = self.plain.frames(tuple(x.shape[2:]))
        padded = F.pad(x, [side for frame in reversed(frames) for side in (frame.before, frame.after)])
        pooling: Any = F.avg_pool2d if len(axes) == 2 else F.avg_pool3d
        result: Tensor = pooling(padded, self.kernel, [frame.stride for frame in frames])
        return result
