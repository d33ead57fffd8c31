"""Layers of `netc/layers/segmentation/bn.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.batch_norm import by_the_batch
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.segmentation.bn import SEGNET_EPS, DecayingBN, PyramidBN, SegNetBN, SyncBN


@writes(PyramidBN, SyncBN, DecayingBN, SegNetBN, any_extents=True)
def bn(layer: PyramidBN | DecayingBN | SegNetBN, call: OnnxCall) -> None:
    """BatchNormalization by averages, its arithmetic by the batch's moments, or Mul and Add."""
    if len(call.tops) > 1:
        unsupported("has the moments as further tops")
    affine = layer.channel_affine([blob.astype(np.float64) for blob in call.blobs], call.axes)
    if affine is None and getattr(layer, "channel_axis", 1) != 1:
        unsupported("normalizes along another axis", "axis")
    if affine is None:
        eps = SEGNET_EPS if isinstance(layer, SegNetBN) else layer.form[2]
        by_the_batch(eps, call, *(blob.ravel() for blob in call.blobs[:2]))
        return
    if isinstance(layer, SegNetBN):
        factor, addend = (part.reshape(-1, *[1] * (call.axes - 2)) for part in affine)
        scaled = call.op("Mul", call.x, call.constant(factor, "weight"))
        call.top("Add", scaled, call.constant(addend, "bias"))
        return
    names = [call.blob(index, (-1,)) for index in range(4)]
    call.top("BatchNormalization", call.x, *names, epsilon=layer.form[2])
