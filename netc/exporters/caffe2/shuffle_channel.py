"""Layers of `netc/layers/shuffle_channel.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.layers.shuffle_channel import ShuffleChannel


@writes(ShuffleChannel)
def shuffle_channel(layer: ShuffleChannel, call: Caffe2Call) -> None:
    """ChannelShuffle."""
    call.top("ChannelShuffle", call.x, group=layer.group, kernel=1)
