"""Layers of `netc/layers/segmentation/bn.py` in plain torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Array, Code, PythonCall, number, writes
from netc.exporters.python.scale import spread
from netc.layers.segmentation.bn import DecayingBN, PyramidBN, SegNetBN, SyncBN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@writes(PyramidBN, SyncBN, DecayingBN, any_extents=True)
def averaging(layer: PyramidBN | DecayingBN, call: PythonCall) -> Code:
    """nn.BatchNorm."""
    _, _, eps, share, averages = layer.form
    if not (averages or layer.is_frozen) or layer.channel_axis != 1:
        unsupported("normalizes by the batch")
    name = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d"}[call.axes]

    def state(blobs: Sequence[Array]) -> Mapping[str, Array]:
        return dict(zip(("weight", "bias", "running_mean", "running_var"), (blob.ravel() for blob in blobs)))

    module = f"nn.{name}({call.shapes[0][1]}, eps={number(eps)}, momentum={number(share)})"
    return Code(f"{call.module}({call.x})", module, state)


@writes(SegNetBN, any_extents=True)
def segnets(layer: SegNetBN, call: PythonCall) -> Code:
    """A factor and an addend, or F.batch_norm by the batch."""
    if call.tops > 1:
        unsupported("has the moments as further tops")
    if layer.bn_mode == "INFERENCE":
        factor, addend = (spread(weight, call.axes, 1, 1) for weight in call.weights)
        return Code(f"{call.x} * {factor} + {addend}")
    return Code(f"F.batch_norm({call.x}, None, None, {', '.join(call.weights)}, True, 0.0, 1e-09)")
