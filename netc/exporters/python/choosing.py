"""Layers that choose elements or items, or list them: ArgMax, BatchReindex, Filter, Im2col, SPP."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.im2col import Im2col
from netc.layers.indexing import BatchReindex, Filter
from netc.layers.reduction import ArgMax
from netc.layers.spatial_pyramid import SPP


@writes(ArgMax)
def arg_max(layer: ArgMax, call: PythonCall) -> Code:
    """Places of the largest, and perhaps these themselves."""
    if layer.axis is not None:
        found = f"arg_max({call.x}, {layer.axis}, {layer.top_k})[{int(layer.out_max_val)}]"
        return Code(found, functions=("arg_max",))
    found = f"arg_max({call.x}.flatten(1), 1, {layer.top_k})"
    both = f"torch.stack({found}, 1)" if layer.out_max_val else f"{found}[0]"
    shape = layer.infer(call.shapes, 1)[0][1:]
    return Code(f"{both}.reshape({call.x}.shape[0], {', '.join(map(str, shape))})", functions=("arg_max",))


@writes(BatchReindex)
def batch_reindex(layer: BatchReindex, call: PythonCall) -> Code:
    """Items by number."""
    return Code(f"{call.x}[{call.bottoms[1]}.long()]")


@writes(Filter)
def filter_(layer: Filter, call: PythonCall) -> Code:
    """The items that the last bottom marks."""
    *items, selector = call.bottoms
    return Code(", ".join(f"{item}[{selector}.flatten() != 0]" for item in items))


@writes(Im2col)
def im2col(layer: Im2col, call: PythonCall) -> Code | None:
    """F.unfold, for pictures."""
    if call.axes != 4 or layer.axis not in (1, -3):
        return None
    w = layer.windows(2)
    h, width = layer.infer(call.shapes, 1)[0][2:]
    columns = f"F.unfold({call.x}, {w.kernel}, {w.dilation}, {w.pad}, {w.stride})"
    return Code(f"{columns}.unflatten(2, ({h}, {width}))")


@writes(SPP)
def spatial_pyramid(layer: SPP, call: PythonCall) -> Code | None:
    """The poolings of a plane of this size, side by side."""
    if layer.pool == "STOCHASTIC":
        return None
    name = "max_pool" if layer.pool == "MAX" else "average_pool"
    h, w = call.shapes[0][2:]
    levels = [layer.level(h, w, level) for level in range(layer.pyramid_height)]
    tops = [f"{name}({call.x}, {one.kernel}, {one.stride}, {one.pad}, False)" for one in levels]
    functions = ("windows", name)
    if len(tops) == 1:
        return Code(tops[0], functions=functions)
    return Code(f"torch.cat([{', '.join(f'{top}.flatten(1)' for top in tops)}], 1)", functions=functions)
