"""Variants of every layer in nets of their own, forward and backward, against Caffe's loops in float64.

The formulas of `caffe_formulas` give the tops; their derivatives are taken numerically. Each net runs at two sizes, node by
node, where gradients of weights add up, and as straight-line code, which autograd goes back through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

import netc
import netc.pycaffe as caffe
from tests.pycaffe import caffe_formulas as f


@pytest.fixture(autouse=True)
def _on_the_cpu():
    caffe.set_mode_cpu()


@dataclass
class Case:
    """One layer: `layer` is its text without name, bottoms and tops; `formula` takes bottoms, then blobs."""

    name: str
    layer: str
    sizes: tuple
    formula: Callable
    tops: int = 1
    given: dict = field(default_factory=dict)
    """How bottoms are made that are not plain numbers: integers below a number, or an array's maker."""
    still: tuple = ()
    """Bottoms and, behind them, blobs without a gradient."""
    phase: int = caffe.TEST
    forward_only: bool = False
    no_diff: tuple = ()
    """Tops through which no gradient comes back: masks, and the exposed states of recurrent layers."""

    def net(self):
        bottoms = range(len(self.sizes[0]))
        inputs = "".join(
            f'layer {{ name: "b{i}" type: "Input" top: "b{i}" input_param {{ shape {{ '
            + " ".join(f"dim: {d}" for d in self.sizes[0][i]) + " } } }\n"
            for i in bottoms
        )  # fmt: skip
        names = "".join(f' bottom: "b{i}"' for i in bottoms) + "".join(f' top: "t{i}"' for i in range(self.tops))
        return f'name: "n" force_backward: true\n{inputs}layer {{ name: "layer"{names} {self.layer} }}'

    def bottoms(self, size, seed):
        random = np.random.default_rng(seed)
        made = [random.permutation(np.linspace(-2, 2, max(2, int(np.prod(s)))) + 0.013 + 0.007 * i)[: int(np.prod(s))] for i, s in enumerate(self.sizes[size])]
        arrays = [array.reshape(s).astype(np.float32) for array, s in zip(made, self.sizes[size])]
        for i, how in self.given.items():
            shape = self.sizes[size][i]
            arrays[i] = (how(random, shape) if callable(how) else random.integers(0, how, shape)).astype(np.float32)
        return arrays


def conv(n, **k):
    return lambda x, w, b=None: f.convolution(x, w, b, **k)


def listed(tops):
    return [np.asarray(top, float) for top in (tops if isinstance(tops, (tuple, list)) else (tops,))]


def gradients(formula, arguments, diffs, still, step=1e-5):
    """Of sum(top * diff) by each argument, by central differences in float64; None where there is none."""
    def value(changed):
        return sum((top * diff).sum() for top, diff in zip(listed(formula(*changed)), diffs))

    found = []
    for index, argument in enumerate(arguments):
        if index in still:
            found.append(None)
            continue
        slopes = np.zeros(argument.shape)
        for place in np.ndindex(*argument.shape):
            moved = [a.copy() for a in arguments]
            moved[index][place] += step
            up = value(moved)
            moved[index][place] -= 2 * step
            slopes[place] = (up - value(moved)) / (2 * step)
        found.append(slopes)
    return found


def close(got, want, name, rtol=2e-4):
    slack = 2e-5 + 2e-5 * float(np.abs(want).max(initial=0))
    np.testing.assert_allclose(got, want, rtol=rtol, atol=slack, err_msg=name)


CASES: list[Case] = []


def add(name, layer, sizes, formula, **more):
    if not isinstance(sizes, list):
        sizes = [sizes]
    CASES.append(Case(name, layer, tuple(sizes), formula, **more))


FILL = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" min: -1 max: 1 }'


def cp(text):
    return f"convolution_param {{ {text} {FILL} }}"


def two(*shapes, **axis):
    """The same shapes, and others with a larger batch (and planes)."""
    def grown(s):
        return (s[0] + 1, *s[1:2], *(e + 2 for e in s[2:]))
    return [shapes, tuple(map(grown, shapes))]


# convolutions
add("conv group dilation stride", 'type: "Convolution" ' + cp("num_output: 4 group: 2 kernel_size: 3 dilation: 2 stride: 2 pad: 2"),
    two((2, 4, 7, 6)), conv(2, group=2, dilation=(2, 2), stride=(2, 2), pad=(2, 2)))
add("conv depthwise rect", 'type: "Convolution" ' + cp("num_output: 3 group: 3 kernel_h: 1 kernel_w: 3 stride_h: 2 stride_w: 1 pad_w: 2 pad_h: 0 bias_term: false"),
    two((2, 3, 5, 4)), conv(2, group=3, stride=(2, 1), pad=(0, 2)))
add("conv pad beyond kernel", 'type: "Convolution" ' + cp("num_output: 2 kernel_size: 1 pad: 2 stride: 3"), two((1, 2, 4, 5)), conv(2, stride=(3, 3), pad=(2, 2)))
add("conv 1d", 'type: "Convolution" ' + cp("num_output: 4 kernel_size: 3 dilation: 2 pad: 1"), two((2, 3, 8)), conv(1, dilation=(2,), pad=(1,)))
add("conv 3d mixed", 'type: "Convolution" ' + cp("num_output: 2 kernel_size: 2 kernel_size: 1 kernel_size: 3 stride: 1 stride: 2 stride: 1 pad: 0 pad: 0 pad: 1 group: 2"),
    two((1, 4, 3, 3, 4)), conv(3, stride=(1, 2, 1), pad=(0, 0, 1), group=2))
add("conv negative axis", 'type: "Convolution" ' + cp("num_output: 2 kernel_size: 2 axis: -2"), [((2, 2, 3, 5),), ((3, 1, 3, 4),)],
    lambda x, w, b: f.convolution(x.reshape(-1, *x.shape[2:]), w, b).reshape(*x.shape[:2], 2, x.shape[3] - 1))
add("conv two bottoms", 'type: "Convolution" ' + cp("num_output: 2 kernel_size: 2"), two((2, 2, 3, 3), (2, 2, 3, 3)),
    lambda x, y, w, b: (f.convolution(x, w, b), f.convolution(y, w, b)), tops=2)
add("deconv group dilation", 'type: "Deconvolution" ' + cp("num_output: 4 group: 2 kernel_size: 3 dilation: 2 stride: 2 pad: 1"),
    two((2, 2, 3, 2)), lambda x, w, b: f.deconvolution(x, w, b, group=2, dilation=(2, 2), stride=(2, 2), pad=(1, 1)))
add("deconv rect nobias", 'type: "Deconvolution" ' + cp("num_output: 3 kernel_h: 2 kernel_w: 4 stride_h: 1 stride_w: 3 pad_h: 0 pad_w: 2 bias_term: false"),
    two((1, 2, 3, 3)), lambda x, w: f.deconvolution(x, w, stride=(1, 3), pad=(0, 2)))
add("deconv 1d", 'type: "Deconvolution" ' + cp("num_output: 3 kernel_size: 4 stride: 2 pad: 1"),
    two((2, 2, 4)), lambda x, w, b: f.deconvolution(x, w, b, stride=(2,), pad=(1,)))
add("deconv 3d", 'type: "Deconvolution" ' + cp("num_output: 2 kernel_size: 2 stride: 2"),
    two((1, 2, 2, 2, 2)), lambda x, w, b: f.deconvolution(x, w, b, stride=(2, 2, 2)))
add("im2col", 'type: "Im2col" convolution_param { kernel_h: 2 kernel_w: 3 stride: 2 pad: 1 dilation: 2 }', two((2, 2, 6, 5)),
    lambda x: f.im2col(x, (2, 3), (2, 2), (1, 1), (2, 2)))

# pooling
for m in ("MAX", "AVE"):
    for label, text, kw in (
        ("pad", "kernel_size: 3 stride: 2 pad: 1", dict(kernel=(3, 3), stride=(2, 2), pad=(1, 1))),
        ("wide pad", "kernel_size: 3 stride: 2 pad: 2", dict(kernel=(3, 3), stride=(2, 2), pad=(2, 2))),
        ("stride beyond kernel", "kernel_size: 2 stride: 3 pad: 1", dict(kernel=(2, 2), stride=(3, 3), pad=(1, 1))),
        ("rect", "kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1", dict(kernel=(2, 3), stride=(1, 2), pad=(0, 1))),
        ("floor", "kernel_size: 3 stride: 2 round_mode: FLOOR", dict(kernel=(3, 3), stride=(2, 2), floor=True)),
        ("floor pad", "kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR", dict(kernel=(3, 3), stride=(2, 2), pad=(1, 1), floor=True)),
        ("stride beyond kernel floor", "kernel_size: 1 stride: 3 round_mode: FLOOR", dict(kernel=(1, 1), stride=(3, 3), floor=True)),
    ):
        add(f"pool {m} {label}", f'type: "Pooling" pooling_param {{ pool: {m} {text} }}', [((2, 2, 7, 6),), ((1, 2, 6, 9),)],
            lambda x, m=m, kw=kw: f.pooling(x, m, **kw)[0])
    add(f"pool {m} mask" if m == "MAX" else "pool AVE global", f'type: "Pooling" pooling_param {{ pool: {m} ' + ("kernel_size: 3 stride: 2 pad: 1 }" if m == "MAX" else "global_pooling: true }"),
        two((2, 2, 5, 4)), (lambda x: f.pooling(x, "MAX", (3, 3), (2, 2), (1, 1))) if m == "MAX" else (lambda x: x.mean((2, 3), keepdims=True)),
        tops=2 if m == "MAX" else 1, no_diff=(1,))
    for levels, size in ((1, (2, 2, 3, 5)), (2, (2, 2, 5, 4)), (3, (1, 2, 13, 9))):
        add(f"spp {m} {levels}", f'type: "SPP" spp_param {{ pyramid_height: {levels} pool: {m} }}', [(size,), ((2, 2, 8, 11),)],
            lambda x, levels=levels, m=m: f.pyramid(x, levels, m))

# normalization
add("lrn across", 'type: "LRN" lrn_param { local_size: 3 alpha: 2 beta: 0.6 k: 2 }', two((2, 5, 2, 3)), lambda x: f.lrn(x, 3, 2, 0.6, 2))
add("lrn wider than channels", 'type: "LRN" lrn_param { local_size: 7 alpha: 1 }', two((2, 3, 2, 2)), lambda x: f.lrn(x, 7, 1, 0.75))
add("lrn within", 'type: "LRN" lrn_param { local_size: 5 alpha: 3 beta: 0.5 norm_region: WITHIN_CHANNEL k: 4 }', two((1, 2, 4, 6)), lambda x: f.lrn(x, 5, 3, 0.5, within=True))
add("mvn", 'type: "MVN" mvn_param { eps: 0.0001 }', two((2, 3, 3, 4)), lambda x: f.mvn(x, eps=1e-4))
add("mvn mean across", 'type: "MVN" mvn_param { across_channels: true normalize_variance: false }', two((2, 3, 2, 4)), lambda x: f.mvn(x, False, True))
add("batch norm train", 'type: "BatchNorm" batch_norm_param { eps: 0.01 }', two((3, 2, 3, 2)), lambda x, *_: f.batch_norm(x, eps=0.01), phase=caffe.TRAIN, still=(1, 2, 3))
add("batch norm global in train", 'type: "BatchNorm" batch_norm_param { use_global_stats: true }', two((3, 2, 3, 2)),
    lambda x, m, v, s: f.batch_norm(x, m / s, v / s), phase=caffe.TRAIN, still=(1, 2, 3))
add("batch norm by batch in test", 'type: "BatchNorm" batch_norm_param { use_global_stats: false }', two((4, 3)), lambda x, *_: f.batch_norm(x), still=(1, 2, 3))
add("batch norm 3d", 'type: "BatchNorm"', two((2, 3, 2, 2, 2)), lambda x, m, v, s: f.batch_norm(x, m / s, v / s), still=(1, 2, 3))

# scale and bias
sp = 'filler { type: "gaussian" } bias_filler { type: "gaussian" }'
add("scale axes bias", f'type: "Scale" scale_param {{ axis: 1 num_axes: 2 bias_term: true {sp} }}', [((2, 3, 4, 2),), ((3, 3, 4, 5),)],
    lambda x, w, b: x * w[:, :, None] + b[:, :, None])
add("scale scalar", f'type: "Scale" scale_param {{ num_axes: 0 bias_term: true {sp} }}', two((2, 3, 2)), lambda x, w, b: x * w + b)
add("scale all from the batch on", f'type: "Scale" scale_param {{ axis: 0 num_axes: -1 {sp} }}', [((2, 3),), ((2, 3),)], lambda x, w: x * w)
add("scale negative axis", f'type: "Scale" scale_param {{ axis: -1 bias_term: true {sp} }}', [((2, 3, 4),), ((5, 1, 4),)], lambda x, w, b: x * w + b)
add("scale two bottoms", f'type: "Scale" scale_param {{ axis: 0 }}', two((2, 3, 2, 2), (2, 3)), lambda x, y: x * y[:, :, None, None])
add("scale two bottoms bias", f'type: "Scale" scale_param {{ axis: 2 bias_term: true {sp} }}', [((2, 3, 4, 2), (4,)), ((3, 2, 4, 5), (4,))], lambda x, y, b: x * y[:, None] + b[:, None])
add("scale by a scalar bottom", f'type: "Scale"', [((2, 3), ()), ((4, 3), ())], lambda x, y: x * y)
add("bias two bottoms negative axis", 'type: "Bias" bias_param { axis: -2 }', [((2, 2, 3, 4), (3, 4)), ((3, 2, 2, 5), (2, 5))], lambda x, y: x + y)
add("bias all axes", 'type: "Bias" bias_param { axis: 1 num_axes: -1 filler { type: "gaussian" } }', [((2, 3, 2),), ((4, 3, 2),)], lambda x, b: x + b)

# arithmetic
add("eltwise coefficients", 'type: "Eltwise" eltwise_param { operation: SUM coeff: 2 coeff: -0.5 coeff: 0 }', two((2, 3), (2, 3), (2, 3)), lambda a, b, c: 2 * a - 0.5 * b)
add("eltwise product of three", 'type: "Eltwise" eltwise_param { operation: PROD stable_prod_grad: false }', two((2, 3), (2, 3), (2, 3)), lambda a, b, c: a * b * c)
add("eltwise maximum of three", 'type: "Eltwise" eltwise_param { operation: MAX }', two((2, 3, 2), (2, 3, 2), (2, 3, 2)), lambda *x: np.max(x, 0))
for op, formula in (("SUM", lambda r: r.sum(-1)), ("ASUM", lambda r: abs(r).sum(-1)), ("SUMSQ", lambda r: (r * r).sum(-1)), ("MEAN", lambda r: r.mean(-1))):
    add(f"reduction {op}", f'type: "Reduction" reduction_param {{ operation: {op} axis: -2 coeff: -1.5 }}', two((2, 3, 2, 3)),
        lambda x, formula=formula: -1.5 * formula(x.reshape(*x.shape[:2], -1)))
add("power 3", 'type: "Power" power_param { power: 3 scale: -0.5 shift: 0.25 }', two((2, 3)), lambda x: (0.25 - 0.5 * x) ** 3)
add("power of a negative number", 'type: "Power" power_param { power: -2 scale: 0.5 shift: -3 }', two((2, 3)), lambda x: (0.5 * x - 3) ** -2)
add("power 0.5", 'type: "Power" power_param { power: 0.5 shift: 3 }', two((2, 3)), lambda x: (x + 3) ** 0.5)
add("power without scale", 'type: "Power" power_param { power: 2 scale: 0 shift: 3 }', two((2, 3)), lambda x: 0 * x + 9)
add("exp", 'type: "Exp" exp_param { base: 3 scale: -0.5 shift: 1 }', two((2, 3)), lambda x: 3 ** (1 - 0.5 * x))
add("log", 'type: "Log" log_param { base: 0.5 scale: -1 shift: 3 }', two((2, 3)), lambda x: np.log(3 - x) / np.log(0.5))
add("clip", 'type: "Clip" clip_param { min: -0.7 max: 1.1 }', two((2, 7)), lambda x: np.clip(x, -0.7, 1.1))
add("elu", 'type: "ELU" elu_param { alpha: 2.5 }', two((2, 7)), lambda x: np.where(x > 0, x, 2.5 * (np.exp(x) - 1)))
add("relu negative slope", 'type: "ReLU" relu_param { negative_slope: -0.3 }', two((2, 7)), lambda x: np.maximum(x, 0) - 0.3 * np.minimum(x, 0))
add("prelu", 'type: "PReLU" prelu_param { filler { type: "gaussian" } }', two((2, 3, 4)), lambda x, a: np.maximum(x, 0) + a[:, None] * np.minimum(x, 0))
add("prelu shared", 'type: "PReLU" prelu_param { channel_shared: true }', two((2, 3)), lambda x, a: np.maximum(x, 0) + a * np.minimum(x, 0))
add("swish", 'type: "Swish" swish_param { beta: -1.5 }', two((2, 7)), lambda x: x * f.sigmoid(-1.5 * x))
add("bnll", 'type: "BNLL"', two((2, 7)), lambda x: np.log(1 + np.exp(x)))
add("softmax", 'type: "Softmax" softmax_param { axis: -2 }', two((2, 3, 4)), lambda x: f.softmax(x, 1))

# shapes
add("concat", 'type: "Concat" concat_param { axis: -2 }', [((2, 3, 4), (2, 1, 4), (2, 2, 4)), ((1, 2, 3), (1, 2, 3), (1, 5, 3))], lambda *x: np.concatenate(x, 1))
add("slice", 'type: "Slice" slice_param { axis: -1 slice_point: 1 slice_point: 4 }', [((2, 3, 6),), ((1, 3, 5),)], lambda x: (x[..., :1], x[..., 1:4], x[..., 4:]), tops=3)
add("slice dim", 'type: "Slice" slice_param { slice_dim: 0 }', [((4, 3),), ((6, 2),)], lambda x: tuple(np.split(x, 2)), tops=2)
add("crop", 'type: "Crop" crop_param { axis: 1 offset: 1 offset: 0 offset: 2 }', [((2, 4, 3, 6), (1, 2, 3, 3)), ((1, 3, 5, 5), (4, 1, 2, 2))],
    lambda x, y: x[:, 1 : 1 + y.shape[1], : y.shape[2], 2 : 2 + y.shape[3]], still=(1,))
add("crop negative axis", 'type: "Crop" crop_param { axis: -1 offset: 2 }', [((2, 3, 6), (1, 1, 3)), ((2, 3, 5), (2, 2, 1))], lambda x, y: x[..., 2 : 2 + y.shape[2]], still=(1,))
add("reshape", 'type: "Reshape" reshape_param { shape { dim: -1 dim: 2 } axis: 1 num_axes: 2 }', [((2, 3, 4, 5),), ((3, 2, 2, 1),)], lambda x: x.reshape(x.shape[0], -1, 2, x.shape[3]))
add("reshape inserts", 'type: "Reshape" reshape_param { shape { dim: 1 dim: 1 } axis: -1 num_axes: 0 }', two((2, 3)), lambda x: x[..., None, None])
add("flatten", 'type: "Flatten" flatten_param { axis: -3 end_axis: -2 }', two((2, 3, 4, 2)), lambda x: x.reshape(x.shape[0], -1, x.shape[3]))
add("tile", 'type: "Tile" tile_param { axis: -2 tiles: 3 }', two((2, 3, 4)), lambda x: np.tile(x, (1, 3, 1)))
add("split", 'type: "Split"', two((2, 3)), lambda x: (x, x, x), tops=3)
add("inner product", f'type: "InnerProduct" inner_product_param {{ num_output: 3 axis: -1 transpose: true {FILL} }}', [((2, 3, 4),), ((5, 1, 4),)], lambda x, w, b: x @ w + b)
add("inner product without bias", f'type: "InnerProduct" inner_product_param {{ num_output: 3 bias_term: false axis: 2 {FILL} }}', [((2, 3, 4, 2),), ((1, 2, 4, 2),)], lambda x, w: x.reshape(*x.shape[:2], -1) @ w.T)
add("embed", f'type: "Embed" embed_param {{ num_output: 3 input_dim: 5 {FILL} }}', [((2, 4),), ((7,),)], lambda x, w, b: w[x.astype(int)] + b, given={0: 5}, still=(0,))
add("batch reindex", 'type: "BatchReindex"', [((3, 2, 2), (6,)), ((3, 4), (2,))], lambda x, i: x[i.astype(int)], given={1: 3}, still=(1,))
for label, how in (("some", lambda r, s: np.arange(s[0]).reshape(s) % 2 - 0.5 + 0.5), ("none", lambda r, s: np.zeros(s)), ("all", lambda r, s: np.full(s, -0.5))):
    add(f"filter {label}", 'type: "Filter"', [((4, 3), (4, 2, 2), (4, 1)), ((5, 2), (5, 1), (5,))], lambda x, y, s: (x[s.reshape(-1) != 0], y[s.reshape(-1) != 0]), tops=2, given={2: how}, still=(2,))
add("argmax", 'type: "ArgMax" argmax_param { top_k: 2 out_max_val: true }', two((2, 3, 2, 2)),
    lambda x: np.stack([np.argsort(-x.reshape(len(x), -1), 1)[:, :2], -np.sort(-x.reshape(len(x), -1), 1)[:, :2]], 1)[..., None], forward_only=True)
add("argmax axis values", 'type: "ArgMax" argmax_param { top_k: 2 axis: -2 out_max_val: true }', two((2, 3, 4)), lambda x: -np.sort(-x, 1)[:, :2], forward_only=True)
add("argmax two axes", 'type: "ArgMax" argmax_param { top_k: 3 }', two((2, 5)), lambda x: np.argsort(-x, 1)[:, None, :3], forward_only=True)

# losses
labels5 = lambda r, s: r.integers(0, 5, s)
for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
    add(f"softmax loss {mode}", f'type: "SoftmaxWithLoss" loss_param {{ normalization: {mode} ignore_label: 3 }} softmax_param {{ axis: -2 }} loss_weight: 0.5',
        [((2, 3, 5, 2), (2, 3, 2)), ((3, 2, 5, 1), (3, 2, 1))], lambda x, y, mode=mode: f.softmax_loss(x, y, -2, 3, mode), given={1: 5}, still=(1,))
    add(f"infogain {mode}", f'type: "InfogainLoss" loss_param {{ normalization: {mode} ignore_label: 0 }}', [((2, 5, 3), (2, 3), (1, 1, 5, 5)), ((3, 5, 2), (3, 2, 1), (5, 5))],
        lambda x, y, h, mode=mode: f.softmax_loss(x, y, 1, 0, mode, h.reshape(5, 5), 1e-20), given={1: 5, 2: lambda r, s: r.random(s)}, still=(1, 2))
    add(f"sigmoid loss {mode}", f'type: "SigmoidCrossEntropyLoss" loss_param {{ normalization: {mode} ignore_label: 2 }}', two((3, 2, 2), (3, 2, 2)),
        lambda x, y, mode=mode: f.sigmoid_loss(x, y, 2, mode), given={1: lambda r, s: r.choice([0, 1, 2, 0.3], s)}, still=(1,))
for flag in ("true", "false"):
    add(f"softmax loss normalize {flag}", f'type: "SoftmaxWithLoss" loss_param {{ normalize: {flag} ignore_label: -1 }}', two((2, 5, 3, 1), (2, 1, 3, 1)),
        lambda x, y, flag=flag: f.softmax_loss(x, y, 1, -1, "VALID" if flag == "true" else "BATCH_SIZE"), given={1: lambda r, s: r.integers(-1, 5, s)}, still=(1,))
add("softmax loss all ignored", 'type: "SoftmaxWithLoss" loss_param { ignore_label: 255 }', two((2, 5), (2,)), lambda x, y: x.sum() * 0, given={1: lambda r, s: np.full(s, 255)}, still=(1,))
add("hinge l2", 'type: "HingeLoss" hinge_loss_param { norm: L2 }', two((3, 5), (3,)), lambda x, y: f.hinge(x, y, True), given={1: 5}, still=(1,))
add("hinge l1", 'type: "HingeLoss"', two((3, 5, 1, 1), (3, 1, 1, 1))[:1] * 2, lambda x, y: f.hinge(x, y), given={1: 5}, still=(1,))
for legacy in ("true", "false"):
    add(f"contrastive {legacy}", f'type: "ContrastiveLoss" contrastive_loss_param {{ margin: 4 legacy_version: {legacy} }}', two((6, 3), (6, 3), (6,)),
        lambda a, b, y, legacy=legacy: f.contrastive(a, b, y, 4, legacy == "true"), given={2: 2}, still=(2,))
add("euclidean", 'type: "EuclideanLoss" loss_weight: -2', two((3, 2, 2), (3, 2, 2)), lambda a, b: ((a - b) ** 2).sum() / 2 / len(a))
add("logistic", 'type: "MultinomialLogisticLoss"', two((3, 5), (3,)), lambda p, y: -np.log(p[np.arange(len(p)), y.astype(int)]).mean(), given={0: lambda r, s: r.random(s) + 0.1, 1: 5}, still=(1,))
for k, axis, ignore in ((1, 1, None), (3, -2, 2), (5, 1, 0)):
    add(f"accuracy {k}", f'type: "Accuracy" accuracy_param {{ top_k: {k} axis: {axis} {"" if ignore is None else f"ignore_label: {ignore}"} }}',
        two((3, 5, 2), (3, 2))[:1] + [((2, 5, 3), (2, 1, 3))], lambda x, y, k=k, axis=axis, ignore=ignore: f.accuracy(x, y, axis, k, ignore), tops=2, given={1: 5}, forward_only=True)

# recurrent
rp = "recurrent_param { num_output: 3 %s " + FILL + " }"
marks = lambda r, s: r.integers(0, 2, s)
def zeros(x): return np.zeros((x.shape[1], 3))
add("lstm", 'type: "LSTM" ' + rp % "", [((4, 2, 2, 2), (4, 2)), ((2, 5, 4, 1), (2, 5))],
    lambda x, k, wx, b, wh: f.lstm(x, k, wx, b, wh, zeros(x), zeros(x))[0], given={1: marks}, still=(1,))
add("lstm static exposed", 'type: "LSTM" ' + rp % "expose_hidden: true", [((3, 2, 2), (3, 2), (2, 2), (1, 2, 3), (1, 2, 3)), ((1, 4, 2), (1, 4), (4, 2), (1, 4, 3), (1, 4, 3))],
    lambda x, k, s, h, c, wx, b, ws, wh: [a if i == 0 else a[None] for i, a in enumerate(f.lstm(x, k, wx, b, wh, h[0], c[0], s @ ws.T))], tops=3, given={1: marks}, still=(1, 3, 4), no_diff=(1, 2))
add("rnn static", 'type: "RNN" ' + rp % "", [((3, 2, 2), (3, 2), (2, 2, 2)), ((2, 4, 2), (2, 4), (4, 4))],
    lambda x, k, s, wx, b, ws, wh, wo, bo: f.rnn(x, k, wx, b, wh, wo, bo, zeros(x), s.reshape(len(s), -1) @ ws.T)[0], given={1: marks}, still=(1,))


def prepared(case, path):
    path.write_text(case.net())
    net = caffe.Net(str(path), case.phase)
    random = np.random.default_rng(5)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = random.uniform(0.3, 1.3, blob.shape)
    return net


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_layer(case, tmp_path):
    path = tmp_path / "net.prototxt"
    net = prepared(case, path)
    blobs = [np.array(blob.data, float) for blob in net.params.get("layer", ())]
    sums = [np.zeros(blob.shape) for blob in blobs]
    straight = netc.load(str(path), phase="train" if case.phase == caffe.TRAIN else "test")
    straight.train(case.phase == caffe.TRAIN)
    for mine, blob in zip(straight.blobs, blobs):
        mine.data.copy_(torch.from_numpy(blob).reshape(mine.data.shape))
    for size in (0, 1):
        bottoms = case.bottoms(size, size)
        for i, array in enumerate(bottoms):
            net.blobs[f"b{i}"].reshape(*array.shape)
            net.blobs[f"b{i}"].data[...] = array
        net.forward()
        wanted = listed(case.formula(*[b.astype(float) for b in bottoms], *blobs))
        random = np.random.default_rng(9)
        diffs = []
        for i, top in enumerate(wanted):
            got = net.blobs[f"t{i}"]
            assert got.data.shape == top.shape
            close(got.data, top, f"top {i}, size {size}")
            diffs.append(np.zeros(top.shape) if i in case.no_diff else random.normal(size=top.shape))
        inputs = [torch.from_numpy(b).requires_grad_(i not in case.still) for i, b in enumerate(bottoms)]
        found = straight.evaluate({f"b{i}": t for i, t in enumerate(inputs)}, [f"t{i}" for i in range(case.tops)])
        for i, top in enumerate(wanted):
            close(found[f"t{i}"].detach().numpy(), top, f"straight top {i}, size {size}")
        if case.forward_only:
            continue
        for i, diff in enumerate(diffs):
            net.blobs[f"t{i}"].diff[...] = diff
        net.backward()
        expected = gradients(case.formula, [*[b.astype(float) for b in bottoms], *blobs], diffs, case.still)
        total = sum((found[f"t{i}"] * torch.from_numpy(d).float()).sum() for i, d in enumerate(diffs) if found[f"t{i}"].requires_grad)
        wants = [t for t in inputs if t.requires_grad]
        taken = iter(torch.autograd.grad(total, wants, allow_unused=True, retain_graph=True)) if wants else iter(())
        for i, want in enumerate(expected[: len(bottoms)]):
            if want is not None:
                close(net.blobs[f"b{i}"].diff, want, f"gradient of bottom {i}, size {size}", 1e-3)
                close(next(taken).numpy(), want, f"straight gradient of bottom {i}", 1e-3)
        for i, want in enumerate(expected[len(bottoms) :]):
            if want is not None:
                sums[i] += want
                close(net.params["layer"][i].diff, sums[i], f"gradient of blob {i}, after size {size}", 1e-3)
