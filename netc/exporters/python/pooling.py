"""Layers of `netc/layers/pooling.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.pooling import FLOAT_MIN, Pooling


@writes(Pooling, any_extents=True)
def pooling(layer: Pooling, call: PythonCall) -> Code:
    """Windows that torch's modules do not count as Caffe does."""
    if len(call.shapes[0]) > 4:
        unsupported("pooling of three spatial axes", "kernel_size")
    if layer.pool == "STOCHASTIC":
        return _expected(layer, call)
    if call.tops > 1 and layer.kernel is None and set(call.free[0]) - {0}:
        unsupported("a mask of planes whose extents are free")
    if call.tops > 1:
        kernel = layer.kernel or call.shapes[0][2:]
        arguments = f"{tuple(kernel)}, {layer.stride}, {layer.pad}, {layer.round_mode == 'FLOOR'}"
        return Code(f"max_pool_with_mask({call.x}, {arguments})", functions=("windows", "max_pool_with_mask"))
    name = "max_pool" if layer.pool == "MAX" else "average_pool"
    arguments = f"{layer.kernel}, {layer.stride}, {layer.pad}, {layer.round_mode == 'FLOOR'}"
    return Code(f"{name}({call.x}, {arguments})", functions=("windows", name))


def _expected(layer: Pooling, call: PythonCall) -> Code:
    """STOCHASTIC pooling in test: each element weighted by its share of its window's sum."""
    if layer.kernel is None:
        return Code(f"{call.x}.square().sum((2, 3), True) / ({call.x}.sum((2, 3), True) + {FLOAT_MIN!r})")
    if not layer.stays_inside:
        unsupported("STOCHASTIC pooling over padded windows", "pool")  # Caffe computes 0 there, a mean does not
    arguments = f"{layer.kernel}, {layer.stride}, {layer.pad}, {layer.round_mode == 'FLOOR'}"
    squares, sums = (f"average_pool({x}, {arguments})" for x in (f"{call.x}.square()", call.x))
    return Code(f"{squares} / ({sums} + {FLOAT_MIN!r})", functions=("windows", "average_pool"))
