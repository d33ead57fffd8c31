"""Layers of `netc/layers/normalization.py` in plain torch."""

from __future__ import annotations

from netc.diagnostics import counted
from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, number, writes
from netc.layers.normalization import LRN, MVN


@writes(LRN, any_extents=True)
def local_response(layer: LRN, call: PythonCall) -> Code:
    """nn.LocalResponseNorm means the same across channels: its alpha is divided by the window too."""
    if layer.norm_region == "ACROSS_CHANNELS":
        numbers = {"alpha": layer.alpha, "beta": layer.beta, "k": layer.k}
        words = ", ".join(f"{word}={number(value)}" for word, value in numbers.items())
        return Code(f"{call.module}({call.x})", f"nn.LocalResponseNorm({layer.local_size}, {words})")
    arguments = f"{layer.local_size}, {number(layer.alpha)}, {number(layer.beta)}"
    return Code(f"local_response_within({call.x}, {arguments})", functions=("local_response_within",))


@writes(MVN, any_extents=True)
def mean_variance(layer: MVN, call: PythonCall) -> Code:
    """Subtract the mean of planes or images and divide by their deviation."""
    if call.axes != 4:
        unsupported(f"its bottom has {counted(call.axes, 'axis')}, 4 are needed")
    axes = [1, 2, 3] if layer.across_channels else [2, 3]
    if not layer.normalize_variance:
        return Code(f"{call.x} - {call.x}.mean({axes}, keepdim=True)")
    return Code(f"mean_variance({call.x}, {axes}, {number(layer.eps)})", functions=("mean_variance",))
