"""Pooling: the maximum, the mean or a random element of each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from netc.ir.coordinate_map import CoordinateMap, of_windows
from netc.ir.dims import Shape, product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.receptive_field import ReceptiveField, ReceptiveFields, all_places
from netc.ir.traits import Role
from netc.layers._registry import register
from netc.layers._windows import LISTED, each_axis, pooled, positive, window_fields

if TYPE_CHECKING:
    from torch import Tensor, nn

Extents = tuple[int, ...]
Method = Literal["MAX", "AVE", "STOCHASTIC"]

FLOAT_MAX = 3.4028234663852886e38
"""C's FLT_MAX; MAX starts from its negative, which is therefore the result of a window without elements."""
FLOAT_MIN = 1.1754943508222875e-38
"""C's FLT_MIN; STOCHASTIC adds it to the sum that it divides by."""


class Frame(NamedTuple):
    """One axis of a plane and the windows along it."""

    extent: int
    kernel: int
    stride: int
    before: int
    """Padding before the first element: Caffe's `pad`."""
    after: int
    """Padding after the last element, up to the end of the last window."""
    windows: int
    """Number of windows."""


@register("Pooling", field="pooling_param", v1="POOLING")
@dataclass(frozen=True)
class Pooling(Layer):
    """Reduces each window of a plane to one element; windows are clipped to the plane.

    `MAX` selects the largest element; a second top is its position, h * width + w in the bottom's plane, -1 for a
    window without elements. `AVE` divides by the extent of the window clipped to the padded plane: padding is counted,
    anything beyond is not. `STOCHASTIC` selects an element with a probability proportional to its value in training,
    and weights the elements by these probabilities in test.

    Shapes: (n, c, h, w) to (n, c, oh, ow), oh = ceil((h + 2 pad - kernel) / stride) + 1 (floor with `FLOOR`);
    with padding, a last window that would start beyond the plane is omitted. Without padding, it is kept
    as in Caffe: there `MAX` is -FLT_MAX, `AVE` 0 / 0 or 0. A bottom with more spatial axes is pooled along all of them,
    with one number per axis or one for all (yjxiong's Caffe).

    >>> Pooling(kernel=(3, 3), stride=(2, 2)).infer(((1, 64, 112, 112),), 1)[0]
    (1, 64, 56, 56)
    >>> Pooling("AVE").infer(((1, 1024, 7, 7),), 1)[0]
    (1, 1024, 1, 1)

    Reference: `pooling_layer.cpp`, `pooling_layer.cu` (STOCHASTIC, which Caffe implements on a GPU only).
    """

    pool: Method = "MAX"
    """How each window is reduced."""
    kernel: Extents | None = None
    """Window height and width; None means the whole plane (`global_pooling`)."""
    stride: Extents = (1, 1)
    """Vertical and horizontal distance between windows."""
    pad: Extents = (0, 0)
    """Padding on both sides, less than the kernel."""
    round_mode: Literal["CEIL", "FLOOR"] = "CEIL"
    """Whether the number of windows along an axis is rounded up, as BVLC Caffe does by default, or down."""

    caffe_fields: ClassVar[CaffeFields] = {
        **window_fields("pooling_param"),
        "kernel": tuple(f"pooling_param.{name}" for name in ("kernel_size", "kernel_h", "kernel_w", "global_pooling")),
    }
    top_count: ClassVar[Count] = Count(1, 2)
    role: ClassVar[Role] = "inner"
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def coordinate_map(self, axes: int) -> CoordinateMap | None:
        """Positions of windows' centers."""
        return None if self.kernel is None else of_windows(*self.windows(axes))

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """The window, or the whole plane."""
        if self.kernel is None:
            return all_places(fields[0], bottoms[0])
        kernel, stride, _ = self.windows(len(fields[0]))
        return tuple(map(ReceptiveField.window, fields[0], kernel, stride))

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Resolves the two spellings of the window. Raises NetcError E101, E103."""
        p = layer.message("pooling_param")
        kernel = _kernel(p)
        axes = len(kernel) if kernel else 2
        stride, pad = _extents(p, "stride", 1, axes), _extents(p, "pad", 0, axes)
        result = cls(p["pool"], kernel, stride, pad, p["round_mode"])
        result._check()
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with one number for square windows."""
        values = super().to_caffe()
        if self.kernel is None:
            values["global_pooling"] = True
        for name, short in (("kernel", "kernel_size"), ("stride", "stride"), ("pad", "pad")):
            extents = values.pop(name, None) or (0, 0)
            if len(set(extents)) == 1 and len(extents) == 2:
                values.update({short: extents[0]} if any(extents) else {})
            elif len(extents) == 2:
                values[f"{name}_h"], values[f"{name}_w"] = extents
            elif any(extents):
                values[f"{short}{LISTED}"] = list(extents)
        return values

    def _check(self) -> None:
        positive(self.stride, "stride")
        if self.kernel is None:
            if any(self.pad) or set(self.stride) != {1}:
                fail("`global_pooling` supports neither `pad` nor `stride`", code="E101", field="global_pooling")
            return
        positive(self.kernel, "kernel_size")
        if any(self.pad) and self.pool == "STOCHASTIC":
            fail("`STOCHASTIC` pooling does not support `pad`", code="E101", field="pad")
        for pad, kernel in zip(self.pad, self.kernel):
            if pad and pad >= kernel:
                fail(f"padding of {pad} is not less than the kernel of {kernel}", code="E103", field="pad")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E020, E102."""
        (bottom,) = bottoms
        if tops > 1 and self.pool != "MAX":
            fail(
                f"`{self.pool}` pooling does not support a second top: only `MAX` returns a mask",
                code="E020",
                field="top",
            )
        if len(bottom) < 4:
            fail(f"`Pooling` expects a bottom with 4 axes (n, c, h, w), got {len(bottom)}", field="bottom")
        if len(bottom) > 4:
            self._check_volume(len(bottom), tops)
        if self.kernel is None:
            top = (*bottom[:2], *(1,) * len(bottom[2:]))
            return (top, top)
        frames = self.frames(bottom[2:])
        for frame in frames:
            if frame.windows < 1:
                fail(
                    f"kernel of {frame.kernel} does not fit an input of {frame.extent} with padding {frame.before}",
                    field="kernel_size",
                )
        top = (*bottom[:2], *(frame.windows for frame in frames))
        return (top, top)

    def _check_volume(self, axes: int, tops: int) -> None:
        if axes > 5:
            fail(f"`Pooling` expects a bottom with 4 or 5 axes, got {axes}", field="bottom")
        if tops > 1 or self.pool == "STOCHASTIC":
            what = "`STOCHASTIC` pooling" if self.pool == "STOCHASTIC" else "a second top"
            fail(f"{what} requires a bottom with 4 axes (n, c, h, w), got {axes}", field="bottom")

    def windows(self, axes: int) -> tuple[Extents, Extents, Extents]:
        """Return kernel, stride and padding for each of `axes` spatial axes; the kernel must not be None.

        A height and width that are equal are one number for all axes. Raises NetcError E101 for another number of axes.

        >>> Pooling(kernel=(3, 3), stride=(2, 2)).windows(3)
        ((3, 3, 3), (2, 2, 2), (0, 0, 0))
        """
        kernel, stride, pad = (
            each_axis(values[:1] if len(set(values)) == 1 else values, axes, name)
            for values, name in ((self.kernel or (), "kernel_size"), (self.stride, "stride"), (self.pad, "pad"))
        )
        return kernel, stride, pad

    @property
    def clips(self) -> bool:
        """Whether a last window that starts in the padding is omitted."""
        return any(self.pad)

    def frames(self, plane: Extents) -> tuple[Frame, ...]:
        """Return the windows along each axis of a plane, or of a volume, with these extents."""
        floor, clip = self.round_mode == "FLOOR", self.clips
        whole = (plane, (1,) * len(plane), (0,) * len(plane))
        kernel, stride, pad = whole if self.kernel is None else self.windows(len(plane))

        def frame(extent: int, kernel: int, stride: int, pad: int) -> Frame:
            beyond = extent + 2 * pad + 1  # a longer step would only add padding
            step = beyond if stride > beyond else stride
            count = pooled(extent, kernel, step, pad, floor=floor, clip=clip)
            after = (count - 1) * step + kernel - extent - pad
            return Frame(extent, kernel, step, pad, 0 if after < 0 else after, count)

        return tuple(map(frame, plane, kernel, stride, pad))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison or addition per element of each window."""
        plane = bottoms[0][2:]
        window = self.windows(len(plane))[0] if self.kernel else plane
        return Cost(operations=product(tops[0]) * product(window))

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.MaxPool2d or AvgPool2d if they have the same windows for every input size."""
        from torch import nn

        if self.pool == "STOCHASTIC" or tops > 1 or len(bottoms[0]) > 4:
            return None
        if self.kernel is None:
            return nn.AdaptiveMaxPool2d(1) if self.pool == "MAX" else nn.AdaptiveAvgPool2d(1)
        if not self._as_torch():
            return None
        pooling: Any = nn.MaxPool2d if self.pool == "MAX" else nn.AvgPool2d
        result: nn.Module = pooling(self.kernel, self.stride, self.pad, ceil_mode=self.round_mode == "CEIL")
        return result

    @property
    def stays_inside(self) -> bool:
        """Whether no window starts beyond the plane, whatever its size.

        A window does so only if the number of windows is rounded up, there is no padding, and a stride exceeds the
        kernel.
        """
        short = self.kernel is None or all(stride <= kernel for stride, kernel in zip(self.stride, self.kernel))
        return short or self.round_mode == "FLOOR" or any(self.pad)

    def _as_torch(self) -> bool:
        """Whether torch supports the padding (at most half a kernel) and drops no window that Caffe keeps."""
        if self.kernel is None or any(2 * pad > kernel for pad, kernel in zip(self.pad, self.kernel)):
            return False
        return self.stays_inside

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor | tuple[Tensor, ...]:
        """Implements what torch's modules do not: masks, wide padding, windows outside the plane, STOCHASTIC."""
        (x,) = bottoms
        if x.dim() > 4:
            return self._pool_volume(x)
        h, w = self.frames(tuple(x.shape[2:]))
        if self.pool == "MAX":
            return _largest(x, h, w, mode.tops > 1)
        return _mean(x, h, w) if self.pool == "AVE" else _stochastic(x, h, w, mode.training)

    def _pool_volume(self, x: Tensor) -> Tensor:
        """MAX or AVE over three spatial axes."""
        import torch.nn.functional as F

        if self.kernel is None:
            return x.amax((2, 3, 4), True) if self.pool == "MAX" else x.mean((2, 3, 4), True)
        frames = self.frames(tuple(x.shape[2:]))
        kernel, stride = [frame.kernel for frame in frames], [frame.stride for frame in frames]
        if self.pool == "MAX":
            return F.max_pool3d(_padded(x, frames, _lowest(x)), kernel, stride)
        total = F.avg_pool3d(_padded(x, frames, 0), kernel, stride, divisor_override=1)
        d, h, w = (_lengths(frame, x) for frame in frames)
        return total / (d[:, None, None] * h[:, None] * w)


def _kernel(p: Fields) -> Extents | None:
    given = [name for name in ("kernel_size", "kernel_h", "kernel_w") if name in p]
    if p["global_pooling"]:
        if given:
            fail(f"`global_pooling` does not support `{given[0]}`", code="E101", field=given[0])
        return None
    if "kernel_size" in p:
        if len(given) == 3:
            fail("`kernel_size` and `kernel_h`, `kernel_w` exclude each other", code="E101", field="kernel_size")
        return _each(p, "kernel_size", 2)
    if not given:
        fail("`kernel_size` is missing", code="E101", help="set `kernel_size`, or `kernel_h` and `kernel_w`")
    return _both(p, "kernel")


def _extents(p: Fields, name: str, default: int, axes: int) -> Extents:
    """The stride or padding for each of `axes` axes."""
    if f"{name}_h" not in p and f"{name}_w" not in p:
        return _each(p, name, axes) if name in p else (default,) * axes
    if name in p:
        fail(f"`{name}` and `{name}_h`, `{name}_w` exclude each other", code="E101", field=name)
    return _both(p, name)


def _each(p: Fields, name: str, axes: int) -> Extents:
    """One value for each axis; one that is set once is that of all."""
    listed = tuple(p.get(f"{name}{LISTED}", ()))
    return listed if len(listed) > 1 else (p[name],) * axes


def _both(p: Fields, name: str) -> Extents:
    for given, missing in ((f"{name}_h", f"{name}_w"), (f"{name}_w", f"{name}_h")):
        if missing not in p:
            fail(f"`{given}` without `{missing}`", code="E101", field=given)
    return (p[f"{name}_h"], p[f"{name}_w"])


def _lowest(x: Tensor) -> float:
    """Return the value of an element of the padding that never is a maximum."""
    import torch

    return max(-FLOAT_MAX, torch.finfo(x.dtype).min)


def _padded(x: Tensor, frames: Sequence[Frame], value: float) -> Tensor:
    import torch.nn.functional as F

    return F.pad(x, [side for frame in reversed(frames) for side in (frame.before, frame.after)], value=value)


def _largest(x: Tensor, h: Frame, w: Frame, mask: bool) -> Tensor | tuple[Tensor, Tensor]:
    import torch
    import torch.nn.functional as F

    padded = _padded(x, (h, w), _lowest(x))
    kernel, stride = (h.kernel, w.kernel), (h.stride, w.stride)
    if not mask:
        return F.max_pool2d(padded, kernel, stride)
    top, place = F.max_pool2d(padded, kernel, stride, return_indices=True)
    row = torch.div(place, padded.shape[3], rounding_mode="floor") - h.before
    column = place % padded.shape[3] - w.before
    inside = (row >= 0) & (row < h.extent) & (column >= 0) & (column < w.extent)
    index = torch.where(inside, row * w.extent + column, -1)
    # Half precision would round positions: a mask is at least float32.
    return top, index.to(torch.promote_types(x.dtype, torch.float32))


def _mean(x: Tensor, h: Frame, w: Frame) -> Tensor:
    import torch.nn.functional as F

    total = F.avg_pool2d(_padded(x, (h, w), 0), (h.kernel, w.kernel), (h.stride, w.stride), divisor_override=1)
    return total / (_lengths(h, x).unsqueeze(1) * _lengths(w, x))


def _lengths(frame: Frame, like: Tensor) -> Tensor:
    """Return the extent of each window that AVE counts along one axis, up to the end of the padding."""
    import torch

    start = torch.arange(frame.windows, device=like.device) * frame.stride - frame.before
    return ((start + frame.kernel).clamp(max=frame.extent + frame.before) - start).to(like.dtype)


def _stochastic(x: Tensor, h: Frame, w: Frame, training: bool) -> Tensor:
    import torch
    import torch.nn.functional as F

    columns = F.unfold(_padded(x, (h, w), 0), (h.kernel, w.kernel), stride=(h.stride, w.stride))
    windows = columns.reshape(x.shape[0], x.shape[1], h.kernel * w.kernel, h.windows, w.windows)
    if not training:
        return windows.square().sum(2) / (windows.sum(2) + FLOAT_MIN)
    reached = windows.detach().cumsum(2)
    threshold = torch.rand_like(reached[:, :, :1]) * reached[:, :, -1:]
    chosen = (reached >= threshold).to(torch.uint8).argmax(2, keepdim=True)
    return windows.gather(2, chosen).squeeze(2)
