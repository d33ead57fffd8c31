"""Independent transcriptions, in float64 and NumPy, of what Caffe2's operators over windows compute."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from netc.ir.layer import Layer
from netc.ir.operator import Operator
from netc.layers import operator_class
from tests.layers.harness import run


def kind(value: object) -> str:
    if isinstance(value, list):
        return "ints"
    return {int: "i", float: "f", str: "s", bytes: "s"}[type(value)]


def made(type: str, **arguments) -> Layer:
    """The operator's layer; lists are lists of integers."""
    cls = operator_class(type)
    assert cls is not None
    stored = {name: {kind(value): value} for name, value in arguments.items()}
    return cls.from_caffe2(Operator(type, stored, ("X",), ("Y",)))


def compute(type: str, *inputs: np.ndarray, **arguments) -> np.ndarray:
    """The first output of an operator."""
    return run(made(type, **arguments), *inputs)[0]


def numbers(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def frame(extent, kernel, stride=1, dilation=1, head=0, tail=0, legacy=0):
    """(windows, head) along one axis: ComputeSizeAndPad, with C++'s division."""
    reach = dilation * (kernel - 1) + 1
    if legacy == 1:
        return int((extent - reach) / stride) + 1, 0
    if legacy == 2:
        windows = (extent + stride - 1) // stride
        return windows, int(((windows - 1) * stride + kernel - extent) / 2)
    if legacy == 3:
        windows = math.ceil((extent + 2 * head - kernel) / stride + 1)
        if head > 0 and (windows - 1) * stride >= extent + head:
            windows -= 1
        return windows, head
    return int((extent + head + tail - reach) / stride + 1), head


def columns(x, kernel, frames, stride=None, dilation=None):
    """(n, c, *windows, *kernel): the elements of each window of (n, c, *spatial), NaN outside."""
    axes = len(kernel)
    stride, dilation = stride or (1,) * axes, dilation or (1,) * axes
    found = np.full((*x.shape[:2], *(windows for windows, _ in frames), *kernel), np.nan)
    for place in itertools.product(*(range(windows) for windows, _ in frames)):
        for tap in itertools.product(*map(range, kernel)):
            at = [p * s - f[1] + t * d for p, s, f, t, d in zip(place, stride, frames, tap, dilation)]
            if all(0 <= i < extent for i, extent in zip(at, x.shape[2:])):
                found[(slice(None), slice(None), *place, *tap)] = x[(slice(None), slice(None), *at)]
    return found


def convolution(x, w, b, frames, stride=None, dilation=None, group=1):
    axes = x.ndim - 2
    found = np.nan_to_num(columns(x, w.shape[2:], frames, stride, dilation))
    m, depth = w.shape[:2]
    tops = []
    for g in range(group):
        part = found[:, g * depth : (g + 1) * depth]
        filters = w[g * m // group : (g + 1) * m // group]
        taps = list(range(part.ndim - axes, part.ndim))
        top = np.tensordot(part, filters, ([1, *taps], [1, *range(2, 2 + axes)]))
        tops.append(np.moveaxis(top, -1, 1))
    return np.concatenate(tops, 1) + (0 if b is None else b.reshape(-1, *(1,) * axes))


def window_axes(found, axes):
    return tuple(range(found.ndim - axes, found.ndim))


def last(x):
    """From NCHW to NHWC."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def max_gradient(x, dy, kernel, stride, frames):
    """Caffe2's gradient of max pooling of (n, c, h, w): to every element that equals the maximum."""
    gradient = np.zeros_like(x)
    for n, c in np.ndindex(*x.shape[:2]):
        for place in itertools.product(*(range(windows) for windows, _ in frames)):
            at = tuple(
                slice(max(p * s - f[1], 0), min(p * s - f[1] + k, e))
                for p, s, f, k, e in zip(place, stride, frames, kernel, x.shape[2:])
            )
            window = x[n, c][at]
            gradient[n, c][at] += (window == window.max()) * dy[(n, c, *place)]
    return gradient


def backward(layer: Layer, dy: np.ndarray, *inputs: np.ndarray) -> list[np.ndarray]:
    """The gradients of the inputs, by autograd."""
    from netc.ir.layer import Mode

    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    y = layer.forward(tensors, (), Mode(training=True, tops=1))
    assert isinstance(y, torch.Tensor)
    y.backward(torch.tensor(dy))
    return [t.grad.numpy() for t in tensors if t.grad is not None]
