import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.normalization import LRN, MVN
from tests.layers.case import PLANES, Case, alike, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run

CASES = [
    alike("MVN"),
    Case(made("LRN", 3, 0.7), *PLANES),
]


# torch makes the object that it warns of, and silences itself in a way that "error" defeats.
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def across_channels(x, layer):
    half, top = layer.local_size // 2, np.zeros_like(x)
    for c in range(x.shape[1]):
        squares = (x[:, max(c - half, 0) : c + half + 1] ** 2).sum(1)
        top[:, c] = x[:, c] / (layer.k + layer.alpha / layer.local_size * squares) ** layer.beta
    return top


def within_channel(x, layer):
    half, top = layer.local_size // 2, np.zeros_like(x)
    for h in range(x.shape[2]):
        for w in range(x.shape[3]):
            square = x[:, :, max(h - half, 0) : h + half + 1, max(w - half, 0) : w + half + 1]
            scale = 1 + layer.alpha / layer.local_size**2 * (square**2).sum((2, 3))
            top[:, :, h, w] = x[:, :, h, w] / scale**layer.beta
    return top


@pytest.mark.parametrize("beta", [0.75, 0.4])
@pytest.mark.parametrize("size", [1, 3, 5, 13])
def test_lrn(size, beta):
    x = values(2, 6, 4, 7).numpy()
    layer = LRN(size, 0.7, beta, k=1.5)
    np.testing.assert_allclose(run(layer, x)[0], across_channels(x, layer), rtol=1e-12)
    layer = LRN(size, 0.7, beta, "WITHIN_CHANNEL", 1.5)
    np.testing.assert_allclose(run(layer, x)[0], within_channel(x, layer), rtol=1e-12)


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
@pytest.mark.parametrize("beta", [0.75, 0.4])
def test_lrn_backward(region, beta):
    assert gradcheck(LRN(3, 0.7, beta, region, 1.5), (2, 4, 3, 5))


def test_lrn_keeps_its_bottom():
    x = values(2, 6, 4, 7)
    before = x.clone()
    module_of(LRN(), (x.shape,))(x)
    assert torch.equal(x, before)


def test_lrn_keeps_two_tensors_for_backward():
    kept = []
    x = values(2, 6, 4, 7).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        module_of(LRN(), (x.shape,))(x)
    assert kept == [x.numel()] * 2


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("across", [True, False])
def test_mvn(normalize, across):
    x = values(2, 3, 4, 5).numpy()
    axes = (1, 2, 3) if across else (2, 3)
    top = x - x.mean(axes, keepdims=True)
    if normalize:
        top /= x.std(axes, keepdims=True) + 0.01
    layer = MVN(normalize, across, 0.01)
    np.testing.assert_allclose(run(layer, x)[0], top, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("across", [True, False])
def test_mvn_backward(across):
    assert gradcheck(MVN(True, across), (2, 3, 4, 5))
    assert gradcheck(MVN(False, across), (2, 3, 4, 5))


def test_mvn_of_fewer_axes():
    x = values(4, 3).numpy()
    (across,) = run(MVN(across_channels=True), x)
    np.testing.assert_allclose(across[..., 0, 0], (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True), rtol=1e-6)
    assert run(MVN(), x)[0].tolist() == np.zeros((4, 3, 1, 1)).tolist()


def test_sizes_and_traces():
    for layer in (LRN(3), LRN(3, beta=0.4, norm_region="WITHIN_CHANNEL"), MVN(), MVN(False), MVN(across_channels=True)):
        resizes(layer, (values(2, 3, 7, 6),), (values(4, 5, 8, 9),))
        traces(layer, values(2, 3, 7, 6))


@pytest.mark.parametrize("layer", [LRN(3), MVN()])
def test_compiled_backward(layer):
    x = values(2, 3, 7, 6)
    gradients = []
    for wrap in (lambda m: m, lambda m: torch.compile(m, fullgraph=True, backend="aot_eager")):
        torch._dynamo.reset()
        inputs = x.clone().requires_grad_()
        (wrap(module_of(layer, (x.shape,)))(inputs) * x).sum().backward()
        gradients.append(inputs.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("layer", [LRN(3), MVN()])
def test_exported_after_a_layer_with_weights(layer):
    x = values(2, 3, 7, 6).float()
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), module_of(layer, ((2, 4, 7, 6),)))
    exported = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},)).module()
    for bottom in (x, values(5, 3, 7, 6).float()):
        torch.testing.assert_close(exported(bottom), net(bottom))


def test_files_names_and_cost():
    layer = round_trip("LRN", local_size=3, alpha=0.5, beta=0.25, norm_region="WITHIN_CHANNEL", k=2.0)
    assert layer == LRN(3, 0.5, 0.25, "WITHIN_CHANNEL", 2.0)
    assert round_trip("LRN") == LRN()
    assert round_trip("MVN", normalize_variance=False, across_channels=True, eps=0.5) == MVN(False, True, 0.5)
    assert v1_name("LRN") == "LRN"
    assert v1_name("MVN") == "MVN"
    shapes = ((2, 3, 4, 5),)
    assert (LRN().cost(shapes, shapes), LRN(3, norm_region="WITHIN_CHANNEL").cost(shapes, shapes)) == (
        Cost(0, 120 * 9),
        Cost(0, 120 * 10),
    )
    assert (MVN().cost(shapes, shapes), MVN(False).cost(shapes, shapes)) == (Cost(0, 600), Cost(0, 240))
    assert repr(MVN().infer(((2, UNKNOWN, 4),), 1)) == "((2, ?, 4, 1),)"


def test_mismatches():
    with raises("E103", "`local_size` is 4: it must be odd"):
        layer_from("LRN", local_size=4)
    with raises("E102", "`LRN` expects a bottom with 4 axes .n, c, h, w., got 3"):
        LRN().infer(((2, 3, 4),), 1)
    with raises("E102", "`MVN` expects a bottom with at most 4 axes .n, c, h, w., got 5"):
        MVN().infer(((2, 3, 4, 5, 6),), 1)
