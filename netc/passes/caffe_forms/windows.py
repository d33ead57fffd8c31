"""Convolutions, poolings, inner products and normalization as layers of Caffe."""

from __future__ import annotations

import numpy as np

from netc.ir.dims import known
from netc.layers.activations import ReLU
from netc.layers.batch_norm import BatchNorm
from netc.layers.convolution import Convolution, Deconvolution
from netc.layers.inner_product import InnerProduct
from netc.layers.normalization import LRN
from netc.layers.operators.conv_transpose import ConvTranspose
from netc.layers.operators.convolution import Conv, ConvRelu
from netc.layers.operators.fully_connected import FullyConnected
from netc.layers.operators.normalization import LocalResponseNorm
from netc.layers.operators.pooling import AveragePool, MaxPool
from netc.layers.operators.spatial_batch_norm import SpatialBatchNorm
from netc.layers.pooling import Method, Pooling
from netc.layers.scale import Scale
from netc.passes.caffe_forms.form import ChainLayer, Parts, Use, form, stored


@form(Conv, ConvRelu)
def _convolution(layer: Conv, use: Use) -> Parts:
    """Convolution, if its padding is symmetric; its filter must be a parameter."""
    pad = _symmetric(layer, use)
    if pad is None or use.arrays[1] is None:
        return None
    blobs = stored(use.arrays[1:])
    if blobs is None:
        return None
    made = Convolution(
        num_output=use.shapes[1][0],
        kernel=layer.kernel,
        stride=layer.stride,
        pad=pad,
        dilation=layer.dilation,
        group=layer.group,
        bias_term=len(blobs) > 1,
    )
    return [ChainLayer(made, blobs), *([ChainLayer(ReLU())] if isinstance(layer, ConvRelu) else [])]


@form(ConvTranspose)
def _deconvolution(layer: ConvTranspose, use: Use) -> Parts:
    """Deconvolution, if its padding is symmetric and nothing is added to the extents."""
    axes = len(layer.kernel)
    heads, tails = layer.pads[:axes], layer.pads[axes:]
    blobs = stored(use.arrays[1:])
    if layer.order != "NCHW" or any(layer.adj) or heads != tails or min(heads) < 0 or blobs is None:
        return None
    made = Deconvolution(
        num_output=use.shapes[1][1] * layer.group,
        kernel=layer.kernel,
        stride=layer.stride,
        pad=heads,
        group=layer.group,
        bias_term=len(blobs) > 1,
    )
    return [ChainLayer(made, blobs)]


def _symmetric(layer: Conv, use: Use) -> tuple[int, ...] | None:
    """The padding on both sides of each axis that gives the same windows; None if there is none."""
    if layer.order != "NCHW" or not all(map(known, use.shapes[0][2:])):
        return None
    return layer.as_torch(use.shapes[0][2:])


@form(MaxPool, AveragePool)
def _pooling(layer: MaxPool | AveragePool, use: Use) -> Parts:
    """Pooling that has as many windows, if the mean counts what Caffe's does."""
    plane = use.shapes[0][2:]
    if layer.order != "NCHW" or not all(map(known, plane)):
        return None
    method: Method = "MAX" if isinstance(layer, MaxPool) else "AVE"
    if layer.global_pooling:
        return [ChainLayer(Pooling(method))]
    frames = layer.frames(plane)
    pad = tuple(frame.head for frame in frames)
    if any(not 0 <= head < kernel for head, kernel in zip(pad, layer.kernel)):
        return None
    if isinstance(layer, AveragePool) and not _counts_as_caffe(layer, use):
        return None
    for mode in ("CEIL", "FLOOR"):
        made = Pooling(method, layer.kernel, layer.stride, pad, mode)
        if made.infer(use.shapes, 1)[:1] == use.top_shapes[:1]:
            return [ChainLayer(made)]
    return None


def _counts_as_caffe(layer: AveragePool, use: Use) -> bool:
    """Whether the mean is over as many elements: Caffe counts padding, and nothing beyond it."""
    frames = layer.frames(use.shapes[0][2:])
    if layer.count_include_pad:
        return all(frame.tail <= frame.head for frame in frames)
    return all(frame.head == 0 for frame in frames)


@form(FullyConnected)
def _inner_product(layer: FullyConnected, use: Use) -> Parts:
    """InnerProduct, if both the matrix and the bias are parameters."""
    blobs = stored(use.arrays[1:])
    if blobs is None or layer.axis_w != 1:
        return None
    weight = blobs[0].reshape(blobs[0].shape[0], -1)
    outputs = weight.shape[1 if layer.transposed else 0]
    made = InnerProduct(num_output=outputs, axis=layer.axis, transpose=layer.transposed)
    return [ChainLayer(made, (weight, blobs[1]))]


@form(SpatialBatchNorm)
def _batch_norm(layer: SpatialBatchNorm, use: Use) -> Parts:
    """BatchNorm and Scale, if the operator uses averages that are parameters."""
    blobs = stored(use.arrays[1:])
    if blobs is None or not layer.is_test or layer.order != "NCHW":
        return None
    factor, addend, mean, variance = blobs
    moments = (mean, variance, np.ones(1, np.float32))
    return [ChainLayer(BatchNorm(use_global_stats=True, eps=layer.epsilon), moments),
            ChainLayer(Scale(bias_term=True), (factor, addend))]  # fmt: skip


@form(LocalResponseNorm)
def _lrn(layer: LocalResponseNorm, use: Use) -> Parts:
    """LRN across channels."""
    if layer.order != "NCHW":
        return None
    return [ChainLayer(LRN(local_size=layer.size, alpha=layer.alpha, beta=layer.beta, k=layer.bias))]
