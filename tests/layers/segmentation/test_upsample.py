"""Both meanings of Upsample."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import NetcError, Source
from netc.ir.dims import UNKNOWN
from netc.layers.segmentation.upsample import MaxUnpooling, NearestUpsampling
from tests.layers import case as cases
from tests.layers.case import Case
from tests.layers.contract import gradient, raises, resizes, traces, values
from tests.layers.harness import gradcheck, module_of, run

MASKED = cases.Source(places_lost=True, own_gradient="of elements with one position, all get the top's gradient")
CASES = [
    Case(
        MaxUnpooling((2, 3), (1, 0)),
        ((1, 2, 2, 3), (1, 2, 2, 3)),
        ((2, 2, 3, 2), (2, 2, 3, 2)),
        integers=(1,),
        below=9,
        source=MASKED,
    ),
    Case(NearestUpsampling(2), ((1, 2, 2, 3),), ((2, 2, 3, 2),), source=cases.Source()),
    Case(NearestUpsampling(1.5), ((1, 2, 2, 3),), ((2, 2, 3, 2),), source=cases.Source(places_lost=True)),
]


def unpooled(x, mask, height, width):
    top = np.zeros((*x.shape[:2], height * width))
    for n, c in np.ndindex(*x.shape[:2]):
        for value, place in zip(x[n, c].ravel(), mask[n, c].ravel()):
            top[n, c, int(place)] = value
    return top.reshape(*x.shape[:2], height, width)


def made(bottoms: int, **parameters):
    text = " ".join(f"{name}: {str(value).lower()}" for name, value in parameters.items())
    inputs = " ".join('bottom: "a"' for _ in range(bottoms))
    net = f"""layer {{ name: "a" type: "Input" top: "a" input_param {{ shape {{ dim: 1 dim: 2 dim: 3 dim: 4 }} }} }}
    layer {{ name: "up" type: "Upsample" {inputs} top: "up" upsample_param {{ {text} }} }}"""
    return netc.load(Source("net", net)).graph.nodes[-1].layer


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, (6, 8)),
        ({"scale": 3}, (9, 12)),
        ({"scale_h": 2, "scale_w": 3}, (6, 12)),
        ({"scale": 2, "pad_out_h": True}, (5, 8)),
        ({"upsample_h": 7, "upsample_w": 5, "scale": 9}, (7, 5)),
    ],
)
def test_unpooling(parameters, size):
    layer = made(2, **parameters)
    assert isinstance(layer, MaxUnpooling)
    assert made(2, **layer.to_caffe()) == layer
    generator = np.random.default_rng(2)
    x = generator.normal(size=(2, 3, 3, 4))
    mask = np.stack([generator.permutation(size[0] * size[1])[:12].reshape(3, 4) for _ in range(6)])
    mask = mask.reshape(2, 3, 3, 4).astype(np.float64)
    np.testing.assert_array_equal(run(layer, x, mask)[0], unpooled(x, mask, *size))
    assert gradcheck(layer, (2, 3, 3, 4), (2, 3, 3, 4), fixed={1: torch.tensor(mask)})


def test_the_last_of_equal_positions_counts():
    x, mask = values(1, 1, 2, 3), torch.tensor([5.0, 0, 5, 5, 1, 0]).view(1, 1, 2, 3)
    np.testing.assert_array_equal(run(MaxUnpooling(), x, mask)[0], unpooled(x.numpy(), mask.numpy(), 4, 6))
    x.requires_grad_()
    top = module_of(MaxUnpooling(), ((1, 1, 2, 3),) * 2).double()(x, mask)
    top.mul(torch.arange(24.0).view(top.shape)).sum().backward()
    assert x.grad.flatten().tolist() == mask.flatten().tolist()


def test_a_position_outside_the_plane_is_an_error():
    net = netc.load(Source("net", NET))
    feed = {"x": torch.ones(1, 1, 2, 2), "mask": torch.tensor([0.0, 1, 16, 3]).view(1, 1, 2, 2)}
    with pytest.raises(NetcError, match="position outside 0 to 15") as caught:
        net(feed["x"], feed["mask"])
    assert caught.value.diagnostics[0].code == "E301"


NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } } }
layer { name: "mask" type: "Input" top: "mask" input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } } }
layer { name: "up" type: "Upsample" bottom: "x" bottom: "mask" top: "up" }
"""


@pytest.mark.parametrize(("scale", "size"), [(1, (3, 4)), (3, (9, 12)), (1.5, (4, 6)), (0.5, (1, 2))])
def test_nearest(scale, size):
    layer = made(1, scale=scale)
    assert layer == NearestUpsampling(scale)
    assert made(1, **layer.to_caffe()) == layer
    x = values(2, 3, 3, 4).numpy()
    rows, columns = (np.minimum(np.arange(e) / scale, x.shape[i + 2] - 1).astype(int) for i, e in enumerate(size))
    np.testing.assert_array_equal(run(layer, x)[0], x[:, :, rows][:, :, :, columns])
    assert gradient(layer, x).sum() == 6 * size[0] * size[1]


def test_the_default_scale_depends_on_the_meaning():
    assert made(1) == NearestUpsampling(1)
    assert made(2) == MaxUnpooling((2, 2))


def test_sizes_and_traces():
    resizes(NearestUpsampling(2), (values(1, 2, 3, 4),), (values(2, 2, 5, 3),))
    traces(NearestUpsampling(3), values(1, 2, 3, 4))
    traces(MaxUnpooling(), values(1, 2, 2, 2), torch.tensor([0.0, 3, 5, 9] * 2).view(1, 2, 2, 2))


def test_unknown_extents():
    plane = (1, UNKNOWN, UNKNOWN, 4)
    assert repr(MaxUnpooling(pad_out=(1, 1)).infer((plane, plane), 1)) == "((1, ?, ?, 7),)"
    assert repr(NearestUpsampling(1.5).infer((plane,), 1)) == "((1, ?, ?, 6),)"
    assert NearestUpsampling(2).coordinate_map(2) == ((2, 0.5),) * 2


@pytest.mark.parametrize(
    ("code", "text", "bottoms", "parameters"),
    [
        ("E101", "exclude each other", 2, {"scale": 2, "scale_h": 2, "scale_w": 2}),
        ("E101", "exclude each other", 2, {"scale_h": 2}),
        ("E103", "`scale` is 1: it must be an integer greater than 1", 2, {"scale": 1}),
        ("E103", "`scale` is 2.5", 2, {"scale": 2.5}),
        ("E103", "`pad_out_w` needs a scale of 2, got 3", 2, {"scale": 3, "pad_out_w": True}),
        ("E103", "`upsample_h` is 1", 2, {"upsample_h": 1, "upsample_w": 4}),
        ("E101", "`scale_h` needs a mask as second bottom", 1, {"scale_h": 2}),
        ("E103", "`scale` is 0: it must be positive", 1, {"scale": 0}),
        ("E103", "unsupported `mode` `linear`", 1, {"mode": '"linear"'}),
        ("E102", "no element is left", 1, {"scale": 0.1}),
    ],
)
def test_invalid_fields(code, text, bottoms, parameters):
    with pytest.raises(NetcError, match=text) as caught:
        made(bottoms, **parameters)
    assert caught.value.diagnostics[0].code == code


def test_mismatches():
    with raises("E102", "two bottoms with the same 4 axes"):
        MaxUnpooling().infer(((1, 2, 3, 4), (1, 2, 3, 5)), 1)
    with raises("E102", "expected at least 2 axes, got 1"):
        NearestUpsampling(2).infer(((3,),), 1)
