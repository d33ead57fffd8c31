"""The parameters of windows in C3D: `kernel_depth` and `kernel_size`, `temporal_stride` and `stride`, `temporal_pad`
and `pad`.

C3D 1.0 has them in `convolution_param` and `pooling_param`, C3D 1.1 in messages of their own.
"""

from __future__ import annotations

from netc.diagnostics import counted
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Shapes, fail

Window = tuple[int, int, int]
"""Extents along time, height and width."""
AXES = 5
NAMES = {
    "kernel": ("kernel_depth", "kernel_size"),
    "stride": ("temporal_stride", "stride"),
    "pad": ("temporal_pad", "pad"),
}


def message(layer: Fields, new: str, old: str) -> Fields:
    """Return C3D 1.1's message of parameters, or C3D 1.0's if the file has that one only.

    Raises NetcError E101 if both are set.
    """
    if new in layer and old in layer:
        fail(f"`{new}` and `{old}` exclude each other", code="E101", field=old)
    return layer.message(old if old in layer else new)


def window(fields: Fields, name: str, default: int | None = None) -> Window:
    """Return the extents of a window along time, height and width. Raises NetcError E101 if one is missing."""
    along_time, plane = (_extent(fields, field, default) for field in NAMES[name])
    return along_time, plane, plane


def _extent(fields: Fields, name: str, default: int | None) -> int:
    """One value: the fields of C3D 1.0 are those that BVLC's schema repeats."""
    value = fields.get(name, default)
    values: list[int] = list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]
    if not values:
        fail(f"`{name}` is missing", code="E101")
    if len(values) > 1:
        fail(f"`{name}` has {counted(len(values), 'value')}: expected one", code="E101", field=name)
    return values[0]


def written(window: Window, name: str) -> dict[str, int]:
    """Return the two fields of a window. Raises NetcError E101 if height and width differ.

    >>> written((1, 2, 2), "stride")
    {'temporal_stride': 1, 'stride': 2}
    """
    along_time, height, width = window
    if height != width:
        fail(f"the {name} differs between height and width", code="E101")
    return dict(zip(NAMES[name], (along_time, height)))


def window_fields(new: str, old: str) -> CaffeFields:
    """Return the prototxt fields of each window, in both messages."""
    return {name: tuple(f"{part}.{field}" for part in (new, old) for field in fields) for name, fields in NAMES.items()}


def check_volume(kind: str, bottoms: Shapes) -> None:
    """Raises NetcError E102 unless each bottom has five axes."""
    for bottom in bottoms:
        if len(bottom) != AXES:
            axes = counted(len(bottom), "axis")
            fail(f"`{kind}` expects a bottom with 5 axes (n, c, length, h, w), got {axes}", field="bottom")
