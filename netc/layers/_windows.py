"""Sliding windows: both spellings of kernel, stride and pad in Caffe, and the number of windows that fit.

Rules from `base_conv_layer.cpp` (LayerSetUp) and `pooling_layer.cpp` (LayerSetUp, Reshape).
"""

from __future__ import annotations

from netc.diagnostics import counted
from netc.ir.dims import ceil_div
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, fail

Extents = tuple[int, ...]
LISTED = "__list"
"""The end of the name of a field that holds every value of a field that only forks may repeat."""


def spatial(fields: Fields, names: tuple[str, str, str], default: Extents, single: int | None = None) -> Extents:
    """Return one parameter of a convolution's window as in the file: one number per axis, or one for all axes.

    `names` are the repeated field and the pair for height and width: `("kernel_size", "kernel_h", "kernel_w")`.
    `default` applies if neither is set; `single` is the value of one of the pair if only the other is set.
    Raises NetcError E101 if both spellings are set, or one of a pair without a `single`.
    """
    repeated, h, w = names
    values = fields.values.get(repeated, ())
    values = tuple(values) if isinstance(values, (list, tuple)) else (values,)
    if h not in fields and w not in fields:
        return values or default
    if values:
        fail(f"`{repeated}` and `{h}`, `{w}` exclude each other", code="E101", field=repeated)
    if single is None and not (h in fields and w in fields):
        missing, given = (w, h) if h in fields else (h, w)
        fail(f"`{given}` without `{missing}`", code="E101", field=given)
    return (fields.values.get(h, single), fields.values.get(w, single))


def window_fields(message: str) -> CaffeFields:
    """Return the prototxt fields of `kernel`, `stride` and `pad`.

    >>> window_fields("pooling_param")["pad"]
    ('pooling_param.pad', 'pooling_param.pad_h', 'pooling_param.pad_w')
    """
    spellings = {
        name: (short, f"{name}_h", f"{name}_w")
        for name, short in (("kernel", "kernel_size"), ("stride", "stride"), ("pad", "pad"))
    }
    return {name: tuple(f"{message}.{field}" for field in fields) for name, fields in spellings.items()}


def each_axis(values: Extents, axes: int, name: str) -> Extents:
    """Return one value for each of `axes` axes. Raises NetcError E101 if their number is neither 1 nor `axes`."""
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
    """Raises NetcError E103 if a value is not positive."""
    if any(value <= 0 for value in values):
        fail(f"`{name}` is {'x'.join(map(str, values))}: it must be positive", code="E103", field=name)


def convolved(extent: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
    """Return the number of windows of a convolution along one axis, rounded down.

    >>> convolved(227, 11, 4, 0, 1)
    55
    """
    return (extent + 2 * pad - (dilation * (kernel - 1) + 1)) // stride + 1


def deconvolved(extent: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
    """Return the output extent of a deconvolution along one axis: the input of a convolution with `extent` windows.

    >>> deconvolved(16, 4, 2, 1, 1)
    32
    """
    return stride * (extent - 1) + dilation * (kernel - 1) + 1 - 2 * pad


def pooled(extent: int, kernel: int, stride: int, pad: int, *, floor: bool, clip: bool) -> int:
    """Return the number of windows of a pooling along one axis, rounded up unless `floor`.

    `clip` drops a last window that starts in the padding; Caffe does so if any axis is padded. Without
    it the last window may be entirely outside the input.

    >>> pooled(112, 3, 2, 0, floor=False, clip=False), pooled(112, 3, 2, 0, floor=True, clip=False)
    (56, 55)
    >>> pooled(4, 1, 2, 0, floor=False, clip=False), pooled(4, 1, 2, 0, floor=False, clip=True)
    (3, 2)
    """
    span = extent + 2 * pad - kernel
    windows = (span // stride if floor else ceil_div(span, stride)) + 1
    return windows - 1 if clip and (windows - 1) * stride >= extent + pad else windows
