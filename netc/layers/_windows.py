"""Sliding windows: Caffe's `kernel_size` against `kernel_h` and `kernel_w`, strides, pads, and how many fit.

Rules from `base_conv_layer.cpp` (LayerSetUp) and `pooling_layer.cpp` (LayerSetUp, Reshape).
"""

from __future__ import annotations

from netc.diagnostics import counted
from netc.ir.dims import ceil_div
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, fail

Extents = tuple[int, ...]


def spatial(fields: Fields, names: tuple[str, str, str], default: Extents, lone: int | None = None) -> Extents:
    """One parameter of a convolution's window as the file gives it: one number an axis, or one for all axes.

    `names` are the repeated field and the pair for height and width: `("kernel_size", "kernel_h", "kernel_w")`.
    `default` stands where none is given; `lone` is what one of the pair is where only the other is given.
    Raises NetcError E101 where both spellings are given, or half a pair that has no `lone`.
    """
    repeated, h, w = names
    values = fields.values.get(repeated, ())
    values = tuple(values) if isinstance(values, (list, tuple)) else (values,)
    if h not in fields and w not in fields:
        return values or default
    if values:
        fail(f"`{repeated}` and `{h}`, `{w}` exclude each other", code="E101", field=repeated)
    if lone is None and not (h in fields and w in fields):
        missing, given = (w, h) if h in fields else (h, w)
        fail(f"`{given}` without `{missing}`", code="E101", field=given)
    return (fields.values.get(h, lone), fields.values.get(w, lone))


def window_fields(message: str) -> CaffeFields:
    """Where a prototxt may give `kernel`, `stride` and `pad`.

    >>> window_fields("pooling_param")["pad"]
    ('pooling_param.pad', 'pooling_param.pad_h', 'pooling_param.pad_w')
    """
    spellings = {
        name: (short, f"{name}_h", f"{name}_w")
        for name, short in (("kernel", "kernel_size"), ("stride", "stride"), ("pad", "pad"))
    }
    return {name: tuple(f"{message}.{field}" for field in fields) for name, fields in spellings.items()}


def each_axis(values: Extents, axes: int, name: str) -> Extents:
    """The values for each of `axes` axes. Raises NetcError E101 where their count fits neither 1 nor `axes`."""
    if len(values) == axes:
        return values
    if not values:
        fail(f"`{name}` is missing", code="E101")
    if len(values) != 1:
        fail(
            f"{counted(len(values), 'value')} of `{name}` for {counted(axes, 'spatial axis')}", code="E101", field=name
        )
    return values * axes


def positive(values: Extents, name: str) -> None:
    """Raises NetcError E103 where a value is not positive."""
    if any(value <= 0 for value in values):
        fail(f"`{name}` is {'x'.join(map(str, values))}: it must be positive", code="E103", field=name)


def convolved(extent: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
    """Windows of a convolution along one axis: rounded down.

    >>> convolved(227, 11, 4, 0, 1)
    55
    """
    return (extent + 2 * pad - (dilation * (kernel - 1) + 1)) // stride + 1


def deconvolved(extent: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
    """Extent that a deconvolution fills along one axis: what a convolution would take to give `extent` windows.

    >>> deconvolved(16, 4, 2, 1, 1)
    32
    """
    return stride * (extent - 1) + dilation * (kernel - 1) + 1 - 2 * pad


def pooled(extent: int, kernel: int, stride: int, pad: int, *, floor: bool, clip: bool) -> int:
    """Windows of a pooling along one axis: rounded up unless `floor`.

    `clip` drops a last window that starts in the padding; Caffe does so as soon as one axis is padded. Without
    it a last window may lie wholly outside.

    >>> pooled(112, 3, 2, 0, floor=False, clip=False), pooled(112, 3, 2, 0, floor=True, clip=False)
    (56, 55)
    >>> pooled(4, 1, 2, 0, floor=False, clip=False), pooled(4, 1, 2, 0, floor=False, clip=True)
    (3, 2)
    """
    span = extent + 2 * pad - kernel
    windows = (span // stride if floor else ceil_div(span, stride)) + 1
    return windows - 1 if clip and (windows - 1) * stride >= extent + pad else windows
