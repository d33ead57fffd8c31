"""Layers of `netc/layers/nvidia_batch_norm.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.batch_norm import batch_norm
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.nvidia_batch_norm import NvidiaBatchNorm


@writes(NvidiaBatchNorm, any_extents=True)
def nvidia_batch_norm(layer: NvidiaBatchNorm, call: PythonCall) -> Code:
    """As BVLC's: the blobs hold the factor and the addend, too."""
    return batch_norm(layer, call)
