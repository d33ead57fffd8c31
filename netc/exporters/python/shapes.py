"""Layers that move elements: joining, parting, reshaping, cropping, pooling."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, number, writes
from netc.layers.concat import Concat, Slice, Split
from netc.layers.crop import Crop
from netc.layers.input import Parameter, Silence
from netc.layers.pooling import FLOAT_MIN, Pooling
from netc.layers.reduction import Reduction
from netc.layers.reshape import KEEP, Flatten, Reshape, Tile


@writes(Concat)
def concat(layer: Concat, call: PythonCall) -> Code:
    """Joined along an axis."""
    return Code(f"torch.cat([{', '.join(call.bottoms)}], {layer.axis})")


@writes(Slice)
def slice_(layer: Slice, call: PythonCall) -> Code:
    """Parted along an axis."""
    parts = [top[layer.axis] for top in layer.infer(call.shapes, call.tops)]
    made = f"{call.x}.split({parts}, {layer.axis})"
    return Code(made if call.tops > 1 else call.x)


@writes(Split)
def split(layer: Split, call: PythonCall) -> Code:
    """The bottom itself, for each top."""
    return Code(", ".join([call.x] * call.tops))


@writes(Silence)
def silence(layer: Silence, call: PythonCall) -> Code:
    """Nothing."""
    return Code("")


@writes(Parameter)
def parameter(layer: Parameter, call: PythonCall) -> Code:
    """A learned tensor."""
    return Code(call.weights[0])


@writes(Flatten)
def flatten(layer: Flatten, call: PythonCall) -> Code:
    """An axis of 1, where there is nothing to make one of."""
    return Code(f"{call.x}.unsqueeze({layer.axis % call.axes})")


@writes(Reshape)
def reshape(layer: Reshape, call: PythonCall) -> Code:
    """Another shape; extents that are kept are read off the tensor, so that a batch of any size fits."""
    start = layer.axis if layer.axis >= 0 else call.axes + layer.axis + 1
    end = call.axes if layer.num_axes == -1 else start + layer.num_axes
    keep = [f"{call.x}.shape[{axis}]" for axis in range(call.axes)]
    middle = [keep[start + i] if extent == KEEP else str(extent) for i, extent in enumerate(layer.shape)]
    return Code(f"{call.x}.reshape({', '.join([*keep[:start], *middle, *keep[end:]])})")


@writes(Tile)
def tile(layer: Tile, call: PythonCall) -> Code:
    """Repeated along an axis."""
    times = [1] * call.axes
    times[layer.axis] = layer.tiles
    return Code(f"{call.x}.repeat({', '.join(map(str, times))})")


@writes(Crop)
def crop(layer: Crop, call: PythonCall) -> Code:
    """Cut to the extents of the second bottom."""
    axis = layer.axis % call.axes
    offset = layer.offset if len(layer.offset) > 1 else (layer.offset or (0,)) * (call.axes - axis)
    like = call.bottoms[1]
    cut = [f"{start}:{start} + {like}.shape[{axis + i}]" for i, start in enumerate(offset)]
    return Code(f"{call.x}[{', '.join([':'] * axis + cut)}]")


@writes(Pooling)
def pooling(layer: Pooling, call: PythonCall) -> Code | None:
    """Windows that torch's modules do not count as Caffe does."""
    if layer.pool == "STOCHASTIC":
        return _expected(layer, call)
    if call.tops > 1:
        kernel = layer.kernel or call.shapes[0][2:]
        arguments = f"{tuple(kernel)}, {layer.stride}, {layer.pad}, {layer.round_mode == 'FLOOR'}"
        return Code(f"max_pool_with_mask({call.x}, {arguments})", functions=("windows", "max_pool_with_mask"))
    name = "max_pool" if layer.pool == "MAX" else "average_pool"
    arguments = f"{layer.kernel}, {layer.stride}, {layer.pad}, {layer.round_mode == 'FLOOR'}"
    return Code(f"{name}({call.x}, {arguments})", functions=("windows", name))


def _expected(layer: Pooling, call: PythonCall) -> Code | None:
    """STOCHASTIC pooling in test: each element weighted by its share of its window's sum."""
    if layer.kernel is None:
        return Code(f"{call.x}.square().sum((2, 3), True) / ({call.x}.sum((2, 3), True) + {FLOAT_MIN!r})")
    if not layer.stays_inside:
        return None  # outside Caffe's is 0, a mean is not
    arguments = f"{layer.kernel}, {layer.stride}, {layer.pad}, {layer.round_mode == 'FLOOR'}"
    squares, sums = (f"average_pool({x}, {arguments})" for x in (f"{call.x}.square()", call.x))
    return Code(f"{squares} / ({sums} + {FLOAT_MIN!r})", functions=("windows", "average_pool"))


@writes(Reduction)
def reduction(layer: Reduction, call: PythonCall) -> Code:
    """One number of all axes from `axis` on."""
    axis = layer.axis % call.axes
    rows = f"{call.x}.flatten({axis})" if axis < call.axes - 1 else call.x
    inner = {"ASUM": ".abs()", "SUMSQ": ".square()"}.get(layer.operation, "")
    top = f"{rows}{inner}.{'mean' if layer.operation == 'MEAN' else 'sum'}({axis})"
    return Code(top if layer.coeff == 1 else f"{top} * {number(layer.coeff)}")
