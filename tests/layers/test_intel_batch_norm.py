import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.ir.parameters import ParamSpec
from netc.layers.batch_norm import BatchNorm
from netc.layers.intel_batch_norm import IntelBatchNorm
from netc.layers.nvidia_batch_norm import NvidiaBatchNorm
from tests.layers.case import PLANES, Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import gradcheck, layer_of, module_of

FACTS = Source(in_place=True, role="inner")
CASES = [
    Case(IntelBatchNorm(moving_average_fraction=0.9, eps=0.01), *PLANES, source=FACTS),
    Case(IntelBatchNorm(eps=0.01, relu=True), *PLANES, source=FACTS),
]


def transcription(x, blobs, layer, training):
    """The top, and the statistics afterwards."""
    mean, variance, count, *affine = (np.array(blob) for blob in blobs)
    size = layer.stats_batch_size if training and layer.stats_batch_size else len(x)
    tops = []
    for start in range(0, len(x), size):
        part = x[start : start + size]
        m, v = (mean / count, variance / count) if not training else (part.mean((0, 2, 3)), part.var((0, 2, 3)))
        if training:
            number = part.size / part.shape[1]
            mean, variance = (
                a * layer.moving_average_fraction + b for a, b in ((mean, m), (variance, v * number / (number - 1)))
            )
            count = count * layer.moving_average_fraction + 1
        top = (part - m[:, None, None]) / np.sqrt(v[:, None, None] + layer.eps)
        if affine:
            top = top * affine[0][:, None, None]
        if len(affine) > 1:
            top = top + affine[1][:, None, None]
        tops.append(np.maximum(top, 0) if layer.relu else top)
    return np.concatenate(tops), (mean, variance, count)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "layer",
    [
        IntelBatchNorm(),
        IntelBatchNorm(relu=True, moving_average_fraction=0.8),
        IntelBatchNorm(bias_term=False, stats_batch_size=2),
        IntelBatchNorm(use_weight_bias=False, relu=True, stats_batch_size=3),
    ],
)
def test_forward(layer, training):
    x = values(6, 3, 4, 5)
    module = module_of(layer, (x.shape,)).double().train(training)
    names = ["mean", "variance", "scale_factor", "weight", "bias"][: 3 + layer.use_weight_bias * (1 + layer.bias_term)]
    blobs = [getattr(module, name).detach().numpy().copy() for name in names]
    assert {name for name, _ in (*module.named_parameters(), *module.named_buffers())} == set(names)
    expected, statistics = transcription(x.numpy(), blobs, layer, training)
    np.testing.assert_allclose(module(x).detach(), expected, rtol=1e-9, atol=1e-12)
    for name, after in zip(names, statistics):
        np.testing.assert_allclose(getattr(module, name), after, rtol=1e-9)


def test_gradients():
    for layer in (IntelBatchNorm(eps=0.01), IntelBatchNorm(eps=0.01, stats_batch_size=2, relu=True)):
        assert gradcheck(layer, (4, 3, 2, 2), training=True)
        assert gradcheck(layer, (4, 3, 2, 2))


NET = (
    'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 2 dim: 2 } } }'
    'layer { name: "b" type: "BatchNorm" bottom: "x" top: "b" batch_norm_param { %s } }'
)


@pytest.mark.parametrize(
    ("fields", "cls"),
    [
        ("use_weight_bias: true", IntelBatchNorm),
        ("filler { value: 1 } bias_filler { }", IntelBatchNorm),
        ("relu: true", IntelBatchNorm),
        ("use_weight_bias: false relu: true", IntelBatchNorm),
        ("use_weight_bias: false", BatchNorm),
        ("engine: MKLDNN", BatchNorm),
        ("scale_filler { }", NvidiaBatchNorm),
    ],
)
def test_meanings(fields, cls, graph_from):
    assert type(next(n.layer for n in graph_from(NET % fields).nodes if n.name == "b")) is cls


def test_files_and_shapes():
    layer = round_trip(IntelBatchNorm, bias_term=False, relu=True, stats_batch_size=2, eps=0.5)
    assert layer == IntelBatchNorm(eps=0.5, bias_term=False, relu=True, stats_batch_size=2)
    assert layer.infer(((4, 3),), 1) == ((4, 3),)
    assert repr(layer.infer(((UNKNOWN, 3),), 1)) == "((?, 3),)"
    assert IntelBatchNorm().cost((), ((2, 3),)) == Cost(operations=24)
    one = ParamSpec(lr_mult=1.0)
    assert [spec.lr_mult for spec in layer.param_specs((one,) * 5)] == [0, 0, 0, 1, 1]
    assert "use_weight_bias: false" in IntelBatchNorm().other_layer(3)
    with raises("E102", "a batch of 5 items cannot be divided into parts of 2"):
        layer.infer(((5, 3),), 1)
    with raises("E103", "a solver cannot change batch statistics"):
        layer_of(IntelBatchNorm, {"param": [{"lr_mult": 1.0}], "batch_norm_param": {"relu": True}})


def test_folding():
    x = [np.array([2.0, 4]), np.array([3.0, 12]), np.array([1.0]), np.array([5.0, 6]), np.array([7.0, 8])]
    factor, addend = IntelBatchNorm(eps=1.0).channel_affine(x, 4)
    np.testing.assert_allclose(factor, [2.5, 6 / 13**0.5])
    np.testing.assert_allclose(addend, [7 - 5, 8 - 24 / 13**0.5])
    factor, addend = IntelBatchNorm(eps=1.0, bias_term=False).channel_affine(x[:4], 4)
    np.testing.assert_allclose(addend, [-5, -24 / 13**0.5])
    factor, _ = IntelBatchNorm(eps=1.0, use_weight_bias=False).channel_affine(x[:3], 4)
    np.testing.assert_allclose(factor, [0.5, 1 / 13**0.5])
    assert IntelBatchNorm(relu=True).channel_affine(x, 4) is None
