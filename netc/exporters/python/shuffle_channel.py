"""Layers of `netc/layers/shuffle_channel.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.shuffle_channel import ShuffleChannel


@writes(ShuffleChannel, any_extents=True)
def shuffle_channel(layer: ShuffleChannel, call: PythonCall) -> Code:
    """The transpose of groups and places."""
    return Code(f"{call.x}.unflatten(1, ({layer.group}, -1)).transpose(1, 2).flatten(1, 2)")
