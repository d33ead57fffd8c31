"""Operators that move elements, Softmax, Dropout and reductions as layers of Caffe."""

from __future__ import annotations

import numpy as np

from netc.layers.concat import Concat, Slice, Split
from netc.layers.dropout import Dropout
from netc.layers.operators.channel_shuffle import ChannelShuffle
from netc.layers.operators.concatenation import ConcatOperator, SplitOperator
from netc.layers.operators.copies import Copy
from netc.layers.operators.dropout import DropoutOperator
from netc.layers.operators.outer_reductions import OuterReduce
from netc.layers.operators.reshaping import FlattenOperator, ReshapeOperator
from netc.layers.operators.smooth_activations import SoftmaxOperator
from netc.layers.operators.tiling import TileOperator
from netc.layers.operators.transposition import TransposeOperator
from netc.layers.permute import Permute
from netc.layers.reduction import Reduction
from netc.layers.reshape import Flatten, Reshape, Tile
from netc.layers.shuffle_channel import ShuffleChannel
from netc.layers.softmax import Softmax
from netc.passes.caffe_forms.form import ChainLayer, Parts, Use, form


@form(DropoutOperator)
def _dropout(layer: DropoutOperator, use: Use) -> Parts:
    """Dropout."""
    return [ChainLayer(Dropout(dropout_ratio=layer.ratio))]


@form(SoftmaxOperator)
def _softmax(layer: SoftmaxOperator, use: Use) -> Parts:
    """Softmax, where the operator normalizes a single axis."""
    x = use.shapes[0]
    axis = layer.axis % len(x)
    return [ChainLayer(Softmax(axis=axis))] if all(extent == 1 for extent in x[axis + 1 :]) else None


@form(ConcatOperator, keeps_parameters=True)
def _concat(layer: ConcatOperator, use: Use) -> Parts:
    """Concat along an axis that exists."""
    return None if layer.add_axis else [ChainLayer(Concat(axis=layer.axis % len(use.shapes[0])))]


@form(SplitOperator)
def _split(layer: SplitOperator, use: Use) -> Parts:
    """Slice, if the extents are in the file."""
    if layer.add_axis or len(use.shapes) > 1:
        return None
    axis = layer.axis % len(use.shapes[0])
    extents = [shape[axis] for shape in use.top_shapes]
    points = tuple(int(point) for point in np.cumsum(extents)[:-1])
    return [ChainLayer(Slice(axis=axis, slice_point=points))]


@form(ReshapeOperator)
def _reshape(layer: ReshapeOperator, use: Use) -> Parts:
    """Reshape, if the shape is in the file or a parameter."""
    held = use.arrays[1] if len(use.arrays) > 1 else None
    shape = tuple(map(int, held)) if layer.shape is None and held is not None else layer.shape
    return None if shape is None else [ChainLayer(Reshape(shape=shape))]


@form(FlattenOperator)
def _flatten(layer: FlattenOperator, use: Use) -> Parts:
    """Flatten to a matrix."""
    return [ChainLayer(Flatten())] if layer.axis == 1 and len(use.shapes[0]) > 1 else None


@form(TransposeOperator)
def _transpose(layer: TransposeOperator, use: Use) -> Parts:
    """Permute."""
    axes = len(use.shapes[0])
    return [ChainLayer(Permute(order=layer.axes or tuple(reversed(range(axes)))))]


@form(TileOperator)
def _tile(layer: TileOperator, use: Use) -> Parts:
    """Tile, if the number is in the file."""
    if len(use.shapes) > 1:
        return None
    return [ChainLayer(Tile(tiles=layer.tiles, axis=layer.axis % len(use.shapes[0])))]


@form(ChannelShuffle)
def _channel_shuffle(layer: ChannelShuffle, use: Use) -> Parts:
    """ShuffleChannel."""
    return [ChainLayer(ShuffleChannel(group=layer.group))] if layer.order == "NCHW" else None


@form(OuterReduce)
def _reduce(layer: OuterReduce, use: Use) -> Parts:
    """Reduction of the last axes."""
    axis = len(use.shapes[0]) - layer.num_reduce_dim
    reductions = {"ReduceBackSum": Reduction("SUM", axis), "ReduceBackMean": Reduction("MEAN", axis)}
    if layer.type not in reductions or len(use.shapes) > 1:
        return None
    return [ChainLayer(reductions[layer.type])]


@form(Copy)
def _copy(layer: Copy, use: Use) -> Parts:
    """Split with one top."""
    return [ChainLayer(Split())]
