"""Layers of `netc/layers/shuffle_channel.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.shuffle_channel import ShuffleChannel


@writes(ShuffleChannel, any_extents=True)
def shuffle_channel(layer: ShuffleChannel, call: OnnxCall) -> None:
    """Gather of the channels in their new order."""
    if 1 in call.free[0]:
        unsupported("shuffles channels whose number is free", "group")
    channels = np.arange(call.shapes[0][1]).reshape(layer.group, -1)
    call.top("Gather", call.x, call.constant(channels.T.reshape(-1), "order", np.int64), axis=1)
