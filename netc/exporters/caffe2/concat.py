"""Layers of `netc/layers/concat.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.layers.concat import Concat, Slice, Split


@writes(Concat)
def concat(layer: Concat, call: Caffe2Call) -> None:
    """Concat, whose second output holds the extents on the axis."""
    call.top("Concat", *call.bottoms, extra=("dims",), axis=layer.axis % call.axes)


@writes(Slice)
def cut(layer: Slice, call: Caffe2Call) -> None:
    """Split into parts of these extents."""
    axis = layer.axis % call.axes
    parts = [shape[axis] for shape in call.top_shapes]
    call.add("Split", [call.x], call.tops, {"axis": axis, "split": parts})


@writes(Split)
def split(layer: Split, call: Caffe2Call) -> None:
    """A Copy for each top."""
    for top in call.tops:
        call.add("Copy", [call.x], [top], {})
