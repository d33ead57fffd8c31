import numpy as np
import pytest
import torch
import torch.nn.functional as F

from netc.ir.dims import UNKNOWN
from netc.ir.filler import Filler
from netc.layers.sequence.dense_block import DenseBlock
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import layer_of, module_of

CASES = [
    Case(made("DenseBlock", 2, 3), ((2, 3, 5, 4),), ((3, 3, 4, 6),), source=Source()),
    Case(made("DenseBlock", 1, 2, bottleneck=True), ((2, 3, 5, 4),), ((3, 3, 4, 6),), source=Source()),
]


def normalized(x, scale, bias, mean, variance):
    def one(v):
        return v.reshape(1, -1, 1, 1)

    return np.maximum(0, (x - one(mean)) / np.sqrt(one(variance) + 1e-5) * one(scale) + one(bias))


def convolved(x, kernel):
    return F.conv2d(torch.from_numpy(x), torch.from_numpy(kernel), padding=kernel.shape[2] // 2).numpy()


def block(x, blobs, transitions, bottleneck, training):
    """Blob by blob in the order of the file; also returns the moments of each normalization's input."""
    moments = []

    def step(y, first, i):
        scale, bias, mean, variance = (blobs[first + kind * transitions + i] for kind in range(1, 5))
        batch = y.mean((0, 2, 3)), y.var((0, 2, 3))
        moments.append(batch)
        return normalized(y, scale, bias, *(batch if training else (mean, variance)))

    for i in range(transitions):
        y = step(x, 0, i)
        if bottleneck:
            y = step(convolved(y, blobs[5 * transitions + i]), 5 * transitions, i)
        x = np.concatenate((x, convolved(y, blobs[i])), 1)
    return x, moments


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_forward(bottleneck, training):
    layer = DenseBlock(3, 2, bottleneck=bottleneck, moving_average_fraction=0.25)
    x = values(2, 4, 5, 3)
    weights = layer.weights(((2, 4, 5, 3),))
    module = module_of(layer, ((2, 4, 5, 3),)).double().train(training)
    blobs = [getattr(module, w.name).detach().clone().numpy() for w in weights]
    assert [w.shape for w in weights[:3]] == [(2, 8, 3, 3)] * 3 if bottleneck else [(2, c, 3, 3) for c in (4, 6, 8)]
    expected, moments = block(x.numpy(), blobs, 3, bottleneck, training)
    np.testing.assert_allclose(module(x).detach(), expected, rtol=1e-9, atol=1e-12)
    count = 2 * 5 * 3
    mean, variance = moments[0]
    kept = 0.75 if training else 1
    np.testing.assert_allclose(module.mean_0, kept * blobs[9] + (1 - kept) * mean)
    np.testing.assert_allclose(module.variance_0, kept * blobs[12] + (1 - kept) * variance * count / (count - 1))


def test_dropout():
    layer = DenseBlock(1, 8, dropout=True, dropout_ratio=0.5)
    module = module_of(layer, ((2, 3, 6, 6),))
    x = torch.rand(2, 3, 6, 6)
    assert (module.train()(x)[:, 3:] == 0).float().mean() == pytest.approx(0.5, abs=0.1)
    assert torch.equal(module(x)[:, :3], x)
    assert not (module.eval()(x)[:, 3:] == 0).any()


def test_frozen_statistics():
    module = module_of(DenseBlock(1, 2).frozen(), ((2, 3, 4, 4),)).train()
    before = module.mean_0.clone()
    module(torch.rand(2, 3, 4, 4))
    assert torch.equal(module.mean_0, before)


def test_files():
    layer = round_trip(
        "DenseBlock",
        numTransition=4,
        growthRate=6,
        Filter_Filler={"type": "msra"},
        BN_Scaler_Filler={"value": 1.0},
        use_BC=True,
        moving_average_fraction=0.5,
        use_dropout=True,
        dropout_amount=0.25,
    )
    scale = Filler(value=1.0)
    assert layer == DenseBlock(4, 6, Filler("msra"), scale, Filler(), True, 0.25, True, 0.5)
    assert round_trip("DenseBlock") == DenseBlock()
    assert len(layer.weights(((1, 8, 4, 4),))) == 41
    assert [w.name for w in layer.weights(((1, 8, 4, 4),))[::8]] == [
        "kernel_0", "bias_0", "variance_0", "bottleneck_scale_0", "bottleneck_mean_0", "scale_factor",
    ]  # fmt: skip


def test_sizes_and_errors():
    resizes(DenseBlock(2, 3), (values(2, 3, 5, 4),), (values(1, 3, 4, 7),))
    traces(DenseBlock(1, 3), values(2, 3, 5, 4))
    assert repr(DenseBlock(2, 3).infer(((1, 4, UNKNOWN, 5),), 1)) == "((1, 10, ?, 5),)"
    assert DenseBlock(1, 2).cost(((1, 3, 4, 5),), ((1, 5, 4, 5),)).macs == 20 * 2 * 3 * 9
    with raises("E102", "expected images"):
        DenseBlock().infer(((2, 3),), 1)
    with raises("E101", "`filter_H` is supported as 3 only"):
        layer_of("DenseBlock", {"denseblock_param": {"filter_H": 5}})
    with raises("E101", "sets the rates of its blobs itself"):
        layer_of("DenseBlock", {"param": [{"lr_mult": 1.0}]})
    with raises("E103", "`growthRate` is 0: it must be positive"):
        layer_of("DenseBlock", {"denseblock_param": {"growthRate": 0}})
    with raises("E103", "`dropout_amount` is 1: it must be at least 0 and below 1"):
        DenseBlock(dropout_ratio=1.0)
