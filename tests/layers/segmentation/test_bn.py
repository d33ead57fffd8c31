"""BN in three forms, compared with their arithmetic, and told apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.compiler import folded
from netc.diagnostics import NetcError, Source
from netc.ir.parameters import ParamSpec
from netc.layers.segmentation.bn import FIXED, DecayingBN, PyramidBN, SegNetBN, SyncBN
from tests.layers import case as cases
from tests.layers.case import PLANES, Case
from tests.layers.contract import raises, resizes, traces, values
from tests.layers.harness import gradcheck, module_of

KEPT = cases.Source(in_place=True, role="inner")
OWN = cases.Source(
    in_place=True, role="inner", own_gradient="in a test, the averages are derived as the batch's moments"
)
WHOLE = {
    "bn_param.axis": {"bn_param": {"var_eps": 0.01, "axis": 2}},
}
CASES = [
    Case(PyramidBN(eps=0.01, is_frozen=True), *PLANES, source=cases.Source(in_place=True, role="inner", own_gradient=
         "factor and addend of a frozen layer get none")),
    Case(PyramidBN(eps=0.01), *PLANES, source=OWN),
    Case(SyncBN(eps=0.01), *PLANES, source=OWN),
    Case(DecayingBN(var_eps=0.01), *PLANES, source=KEPT),
    Case(DecayingBN(var_eps=0.01, moving_average=True, axis=2), ((2, 4, 5, 6),), ((3, 7, 5, 4),), source=OWN),
    Case(SegNetBN(), *PLANES, source=KEPT),
    Case(SegNetBN(bn_mode="INFERENCE"), *PLANES, source=cases.Source(role="inner")),
]  # fmt: skip
FACTOR, ADDEND = np.array([0.5, -2.0, 1.5]), np.array([1.0, 0.25, -1.0])
MEAN, VARIANCE = np.array([0.3, -0.2, 0.1]), np.array([0.5, 2.0, 1.2])


def given(module, *arrays):
    for name, array in zip(("weight", "bias", "mean", "variance"), arrays):
        getattr(module, name).data.copy_(torch.as_tensor(array))
    return module


def spread(array):
    return np.asarray(array)[:, None, None]


def affine(x, mean, variance, eps):
    return (x - spread(mean)) / np.sqrt(spread(variance) + eps) * spread(FACTOR) + spread(ADDEND)


@pytest.mark.parametrize(
    ("layer", "eps", "share"),
    [
        (PyramidBN(momentum=0.75, eps=0.1), 0.1, 0.25),
        (DecayingBN(var_eps=0.2, decay=0.4), 0.2, 0.4),
        (DecayingBN(var_eps=0.2, decay=0.4, moving_average=True), 0.2, 0.4),
    ],
)
def test_averages_of_biased_moments(layer, eps, share):
    module = given(module_of(layer, ((4, 3, 5, 2),)).double().train(), FACTOR, ADDEND, MEAN, VARIANCE)
    average = [MEAN, VARIANCE]
    for seed in range(3):
        x = values(4, 3, 5, 2, seed=seed).numpy()
        moments = [x.mean((0, 2, 3)), x.var((0, 2, 3))]
        found = module(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(found, affine(x, *moments, eps), rtol=1e-9, atol=1e-12)
        average = [(1 - share) * old + share * new for old, new in zip(average, moments)]
        np.testing.assert_allclose(module.mean.numpy(), average[0], rtol=1e-9)
        np.testing.assert_allclose(module.variance.numpy(), average[1], rtol=1e-9)
    found = module.eval()(torch.tensor(x)).detach().numpy()
    used = average if getattr(layer, "moving_average", True) else moments
    np.testing.assert_allclose(found, affine(x, *used, eps), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(module.mean.numpy(), average[0], rtol=1e-9)


def test_a_frozen_layer_uses_its_averages_and_learns_nothing():
    module = given(
        module_of(PyramidBN(is_frozen=True), ((4, 3, 5, 2),)).double().train(), FACTOR, ADDEND, MEAN, VARIANCE
    )
    x = values(4, 3, 5, 2).requires_grad_()
    top = module(x)
    np.testing.assert_allclose(top.detach(), affine(x.detach().numpy(), MEAN, VARIANCE, 1e-5), rtol=1e-9)
    top.sum().backward()
    assert module.weight.grad is None
    expected = np.broadcast_to(spread(FACTOR / np.sqrt(VARIANCE + 1e-5)), x.shape)
    np.testing.assert_allclose(x.grad, expected, rtol=1e-9)
    assert PyramidBN().frozen() == PyramidBN(is_frozen=True)
    assert PyramidBN(is_frozen=True).param_specs(()) == (FIXED,) * 4
    assert PyramidBN().param_specs((ParamSpec(), ParamSpec(), ParamSpec())) == (ParamSpec(), ParamSpec(), FIXED)


def test_the_gradient_in_a_test_is_the_batchs_formula():
    module = given(module_of(PyramidBN(eps=0.1), ((4, 3, 5, 2),)).double().eval(), FACTOR, ADDEND, MEAN, VARIANCE)
    x, dy = values(4, 3, 5, 2).requires_grad_(), values(4, 3, 5, 2, seed=5).numpy()
    module(x).backward(torch.tensor(dy))
    scale = 1 / np.sqrt(VARIANCE + 0.1)
    z = (x.detach().numpy() - spread(MEAN)) * spread(scale)
    d = dy * spread(FACTOR)
    mean = lambda a: spread(a.mean((0, 2, 3)))
    np.testing.assert_allclose(x.grad, (d - mean(d) - z * mean(d * z)) * spread(scale), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(module.weight.grad, (dy * z).sum((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(module.bias.grad, dy.sum((0, 2, 3)), rtol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(module(x), torch.as_tensor(affine(x.numpy(), MEAN, VARIANCE, 0.1)))


@pytest.mark.parametrize(
    "layer", [PyramidBN(eps=0.01), DecayingBN(var_eps=0.01, axis=2), SegNetBN(), SegNetBN(bn_mode="INFERENCE")]
)
def test_gradients_in_training(layer):
    assert gradcheck(layer, (3, 2, 4, 2), training=True)


@pytest.mark.parametrize("training", [True, False])
def test_segnets_uses_the_batch_in_both_phases(training):
    module = given(module_of(SegNetBN(), ((4, 3, 5, 2),), 3).double().train(training), FACTOR, ADDEND)
    x = values(4, 3, 5, 2).numpy()
    top, mean, variance = module(torch.tensor(x))
    np.testing.assert_allclose(mean.detach().flatten(), x.mean((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(variance.detach().flatten(), x.var((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(top.detach(), affine(x, x.mean((0, 2, 3)), x.var((0, 2, 3)), 1e-9), rtol=1e-9)
    assert tuple(mean.shape) == tuple(variance.shape) == (1, 3, 1, 1)


def test_segnets_for_inference_multiplies_and_adds():
    module = given(module_of(SegNetBN(bn_mode="INFERENCE"), ((4, 3, 5, 2),)).double(), FACTOR, ADDEND)
    x = values(4, 3, 5, 2)
    expected = x.numpy() * spread(FACTOR) + spread(ADDEND)
    np.testing.assert_allclose(module(x).detach(), expected, rtol=1e-12)


def test_a_batch_of_one_element_per_channel():
    for layer in (SegNetBN(), PyramidBN(), DecayingBN()):
        module = given(module_of(layer, ((1, 3),)).double().train(), FACTOR, ADDEND)
        assert torch.allclose(module(values(1, 3)), torch.tensor(ADDEND))
        assert all(buffer.isfinite().all() for buffer in module.buffers())


def net_of(bn: str, extra: str = "", blobs: int | None = None, layer: str = ""):
    return Source("net", f"""
    layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 dim: 4 dim: 5 }} }} }}
    layer {{ name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param {{ num_output: 3 kernel_size: 1
      weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "bn" type: "BN" bottom: "c" top: "y" {layer} bn_param {{ {bn} }} }} {extra}""")  # fmt: skip


def meaning(net, weights=None, dialect=None):
    loaded = netc.load(net, weights, dialect=dialect)
    return type(next(node.layer for node in loaded.graph.nodes if node.name == "bn"))


FOUR = "param { lr_mult: 1 } param { lr_mult: 1 } param { lr_mult: 0 } param { lr_mult: 0 }"
UP = 'layer { name: "up" type: "Interp" bottom: "y" top: "up" interp_param { zoom_factor: 2 } }'


@pytest.mark.parametrize(
    ("cls", "net"),
    [
        (PyramidBN, net_of("slope_filler { value: 1 }")),
        (PyramidBN, net_of("frozen: true")),
        (PyramidBN, net_of("engine: CUDNN")),
        (PyramidBN, net_of("", layer=FOUR)),
        (PyramidBN, net_of("", UP)),
        (SegNetBN, net_of("bn_mode: LEARN")),
        (SegNetBN, net_of("scale_filler { value: 1 }", layer='top: "mean"')),
        (DecayingBN, net_of("moving_average: true")),
        (DecayingBN, net_of("axis: 1")),
        (DecayingBN, net_of("scale_filler { value: 1 }", layer=FOUR)),
    ],
)
def test_what_tells_the_forms_apart(cls, net):
    assert meaning(net) is cls
    assert [d.code for d in netc.check(net) if d.code in ("W014", "E014")] == []


def written(path, blobs):
    from netc.schema import caffe

    net = caffe.NetParameter()
    layer = net.layer.add(name="bn", type="BN", bottom=["c"], top=["y"])
    for blob in blobs:
        proto = layer.blobs.add(data=np.asarray(blob, np.float32))
        proto.shape.dim.extend((1, 3, 1, 1))
    path.write_bytes(net.SerializeToString())
    return path


def test_the_number_of_blobs_decides(tmp_path):
    two, four = (written(tmp_path / f"{n}.caffemodel", [FACTOR, ADDEND, MEAN, VARIANCE][:n]) for n in (2, 4))
    assert meaning(net_of("scale_filler { }"), two) is SegNetBN
    assert meaning(net_of("scale_filler { }"), four) is DecayingBN
    assert meaning(net_of(""), four) is PyramidBN


def test_a_doubt_is_a_warning():
    for text, others in (("scale_filler { }", 2), ("", 3)):
        found = [d for d in netc.check(net_of(text)) if d.code == "W014"]
        assert [d.message for d in found] == [
            "several meanings of layer type `BN` fit this layer: that of segnet was chosen"
        ]
        assert len([note for note in found[0].notes if note.startswith("`BN` of")]) == others
        assert meaning(net_of(text)) is SegNetBN
    assert meaning(net_of(""), dialect="happynear") is DecayingBN


@pytest.mark.parametrize(
    ("dialect", "bn"),
    [
        ("pspnet", "slope_filler { value: 1 } momentum: 0.95 frozen: true"),
        ("pspnet", "slope_filler { value: 0 }"),
        ("happynear", "shift_filler { value: 0.5 } decay: 0.1 axis: 1 moving_average: true"),
        ("segnet", "scale_filler { value: 1 } bn_mode: INFERENCE"),
        ("segnet", "bn_mode: LEARN"),
    ],
)
def test_it_is_written_for_its_fork(tmp_path, dialect, bn):
    source, out = tmp_path / "net.prototxt", tmp_path / "out.prototxt"
    source.write_text(net_of(bn).text)
    path = written(tmp_path / "net.caffemodel", [FACTOR, ADDEND, MEAN, VARIANCE][: 2 if dialect == "segnet" else 4])
    netc.convert(source, path, to="caffe", output=out, dialect=dialect)
    layers = [netc.load(file).graph.nodes[-1].layer for file in (source, out)]
    assert layers[0] == layers[1]


@pytest.mark.parametrize(
    ("bn", "blobs"),
    [
        ("slope_filler { }", 4),
        ("frozen: true", 4),
        ("moving_average: true", 4),
        ("bn_mode: INFERENCE", 2),
    ],
)
def test_it_is_folded(tmp_path, bn, blobs):
    path = written(tmp_path / "net.caffemodel", [FACTOR, ADDEND, MEAN, VARIANCE][:blobs])
    net = netc.load(net_of(bn), path, seed=1)
    smaller = folded(net)
    assert [node.layer.type for node in smaller.graph.nodes] == ["Convolution"]
    x = values(2, 3, 4, 5).float()
    with torch.no_grad():
        torch.testing.assert_close(smaller(x)["y"], net(x)["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bn", ["bn_mode: LEARN", "var_eps: 0.1", "moving_average: true axis: 2"])
def test_what_depends_on_the_batch_is_not_folded(bn):
    assert [node.layer.type for node in folded(netc.load(net_of(bn))).graph.nodes] == ["Convolution", "BN"]


def test_shapes_and_traces():
    resizes(PyramidBN(), (values(2, 3, 4, 5),), (values(3, 3, 2, 6),))
    resizes(SegNetBN(), (values(2, 3, 4, 5),), (values(3, 3, 2, 6),))
    for layer in (PyramidBN(), DecayingBN(moving_average=True), SegNetBN()):
        traces(layer, values(2, 3, 4, 5))
    with raises("E102", "expected 2 to 4 axes, got 1 axis"):
        PyramidBN().infer(((3,),), 1)
    with raises("E102", "axis 2 of a bottom with 2 axes"):
        DecayingBN(axis=2).infer(((3, 4),), 1)
    with raises("E101", "computes no mean and variance"):
        SegNetBN(bn_mode="INFERENCE").infer(((2, 3, 4, 5),), 3)
    with pytest.raises(NetcError, match="expected 3 channels, got 4"):
        module_of(PyramidBN(), ((2, 3, 4, 5),))(torch.zeros(2, 4, 4, 5))
    with raises("E103", "`axis` is 3: it must be 1 or 2"):
        meaning_error("axis: 3")


def meaning_error(bn: str) -> None:
    netc.load(net_of(bn))
