"""Offsets of Crop layers computed from the graph, by the rules of coordinate maps."""

from __future__ import annotations

import pytest

import netc
from netc.compiler import load
from netc.conversion.convert import convert
from netc.conversion.deploy import deploy
from netc.diagnostics import NetcWarning, Source
from netc.inspection import diff
from netc.ir.coordinates import crop_offsets
from netc.rewriting import upgraded
from netc.training.log.events import ignore
from netc.training.solver.net_graphs import SolverNets
from netc.training.solver.settings import read_settings

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 40 dim: 48 } } }\n'


def layer(type: str, bottom: str, top: str, parameters: str = "") -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    return f'layer {{ name: "{top}" type: "{type}" {bottoms} top: "{top}" {parameters} }}\n'


def conv(bottom: str, top: str, fields: str, kind: str = "Convolution") -> str:
    return layer(kind, bottom, top, f"convolution_param {{ num_output: 2 {fields} }}")


CROP = layer("Crop", "up data", "crop")
OFFSET = "crop_param { offset: 35 offset: 35 }"
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 test_iter: 1 test_interval: 1\n'
SIDE = (
    DATA
    + conv("data", "conv", "kernel_size: 3 pad: 35")
    + layer("ReLU", "conv", "relu")
    + layer("Pooling", "relu", "pool", "pooling_param { kernel_size: 2 stride: 2 }")
    + conv("pool", "up", "kernel_size: 4 stride: 2", "Deconvolution")
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SIDE + CROP, (35, 35)),  # 34, then (34 - 1 / 2) / 2, then twice that and 3 / 2
        (DATA + conv("data", "up", "kernel_size: 3 dilation: 2 pad: 9") + CROP, (7, 7)),
        (DATA + conv("data", "up", "kernel_h: 3 kernel_w: 5 pad_h: 4 pad_w: 7") + CROP, (3, 5)),
        (
            DATA
            + conv("data", "a", "kernel_size: 3 pad: 6")
            + layer("Crop", "a data", "b", "crop_param { axis: 2 offset: 2 offset: 3 }")
            + conv("b", "up", "kernel_size: 1 pad: 1")
            + layer("Crop", "up data", "crop"),
            (4, 3),
        ),
    ],
)
def test_the_offset_aligns_both_bottoms(text, expected):
    with pytest.warns(NetcWarning, match="W120"):
        net = load(Source("net", text))
    assert crop_offsets(net.graph) == {"crop": expected}


def test_crops_follow_each_other():
    text = DATA + conv("data", "a", "kernel_size: 3 pad: 6") + layer("Crop", "a data", "b")
    text += conv("b", "up", "kernel_size: 1 pad: 2") + CROP
    with pytest.warns(NetcWarning, match="W120"):
        assert crop_offsets(load(Source("net", text)).graph) == {"b": (5, 5), "crop": (2, 2)}


@pytest.mark.parametrize(
    "text",
    [
        DATA + conv("data", "up", "kernel_size: 4 pad: 3") + CROP,  # half an element
        DATA + conv("data", "pool", "kernel_size: 2 stride: 2") + layer("Crop", "data pool", "crop"),  # other scales
        DATA + DATA.replace('"data"', '"up"').replace("40", "50") + CROP,  # no common source
        DATA + conv("data", "up", "kernel_size: 3 pad: 1") + CROP,  # 0
        SIDE + CROP.replace("top:", "crop_param { offset: 3 } top:"),
        SIDE + CROP.replace("top:", "crop_param { } top:"),
    ],
)
def test_other_crops_are_left_alone(text):
    assert "W120" not in {d.code for d in netc.check(Source("net", text))}
    before, after = (load(Source("net", text), autocrop=flag).graph.nodes[-1].layer for flag in (False, True))
    assert before.infer(((1, 2, 60, 60), (1, 2, 40, 48)), 1) == after.infer(((1, 2, 60, 60), (1, 2, 40, 48)), 1)
    assert set(after.offset) - {0} == set(before.offset) - {0}


def test_it_is_applied_on_request():
    net = load(Source("net", SIDE + CROP), autocrop=True)
    assert net.graph.nodes[-1].layer.offset == (35, 35)
    assert "W120" not in {d.code for d in netc.check(Source("net", SIDE + CROP), autocrop=True)}
    (found,) = (d for d in netc.check(Source("net", SIDE + CROP)) if d.code == "W120")
    assert found.message == "`crop` crops from offset 0; Caffe's branch of 2015 computes 35 from the net"


def test_every_use_of_a_net_applies_it_on_request(tmp_path):
    net, fixed = Source("net", SIDE + CROP), Source("net", SIDE + layer("Crop", "up data", "crop", OFFSET))
    assert not list(diff(net, fixed, autocrop=True).changes)
    assert list(diff(net, fixed).changes)
    assert OFFSET in " ".join(deploy(net, autocrop=True).split())
    assert OFFSET not in " ".join(deploy(net).split())
    (tmp_path / "net.prototxt").write_text(net.text)
    for autocrop in (False, True):
        convert(tmp_path / "net.prototxt", to="caffe", output=tmp_path / "out.prototxt", autocrop=autocrop)
        assert (OFFSET in " ".join((tmp_path / "out.prototxt").read_text().split())) == autocrop


@pytest.mark.parametrize("option", ["", "netc_param { autocrop: true }"])
def test_a_solver_applies_it_to_its_nets(tmp_path, option):
    (tmp_path / "net.prototxt").write_text(SIDE + CROP)
    (tmp_path / "solver.prototxt").write_text(SOLVER + option)
    applied = bool(option)
    assert ("W120" in {d.code for d in netc.check(tmp_path / "solver.prototxt")}) != applied
    assert "W120" not in {d.code for d in netc.check(tmp_path / "solver.prototxt", autocrop=True)}
    settings = read_settings(tmp_path / "solver.prototxt")
    for given, expected in ((settings, applied), (settings.with_options(autocrop=True), True)):
        nets = SolverNets(given, ignore)
        for graph in (nets.train(), *nets.tests()):
            assert (graph.nodes[-1].layer.offset == (35, 35)) == expected


def test_upgrade_writes_it():
    text, _ = upgraded(Source("net", SIDE + CROP), autocrop=True)
    assert "crop_param { offset: 35 }" in " ".join(text.split())
    assert netc.check(Source("net", text)) == []
    assert load(Source("net", text)).graph.nodes[-1].layer.offset == (35,)
    assert upgraded(Source("net", text), autocrop=True)[0] == text
    wide = DATA + conv("data", "up", "kernel_h: 3 kernel_w: 5 pad_h: 4 pad_w: 7") + CROP
    assert "crop_param { offset: 3 offset: 5 }" in " ".join(upgraded(Source("net", wide), autocrop=True)[0].split())
