"""Layers of `netc/layers/batch_norm.py` in plain torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import counted
from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Array, Code, PythonCall, number, writes
from netc.layers.batch_norm import BatchNorm
from netc.layers.scale import Scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@writes(BatchNorm, any_extents=True)
def batch_norm(layer: BatchNorm, call: PythonCall) -> Code:
    """nn.BatchNorm, with normalized statistics; a Scale after it is its affine part."""
    if layer.use_global_stats is False:
        unsupported("normalizes by the statistics of the batch", "use_global_stats")
    if not 2 <= call.axes <= 5:
        unsupported(f"its bottom has {counted(call.axes, 'axis')}, nn.BatchNorm takes 2 to 5")
    name = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}[call.axes]
    has_affine = isinstance(call.absorbed, Scale) or len(call.weight_names) > 3
    affine = "" if has_affine else ", affine=False"
    momentum = f", momentum={1 - layer.moving_average_fraction:.6g}"
    eps = "" if layer.eps == 1e-5 else f", eps={number(layer.eps)}"

    def state(blobs: Sequence[Array]) -> Mapping[str, Array]:
        mean, variance, *rest = layer.moments(blobs)
        found = {"running_mean": mean, "running_var": variance}
        if rest:
            found["weight"], found["bias"] = rest[0], rest[1] if len(rest) > 1 else rest[0] * 0
        return found

    return Code(f"{call.module}({call.x})", f"nn.{name}({call.shapes[0][1]}{eps}{momentum}{affine})", state)
