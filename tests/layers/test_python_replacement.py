"""Layers in place of well-known Python classes: which are recognized, `param_str`, and when the user's class runs."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import netc
from netc.inspection import explain, layer_documentation
from netc.layers import layer_classes
from netc.layers._python_replacement import param_values
from netc.layers.python import Python
from tests.layers.contract import raises
from tests.layers.meanings import register_shift

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "s" type: "Python" bottom: "x" top: "y" python_param { module: "%s" layer: "Shift" param_str: "%s" } }
"""
CODE = """
import caffe
class %s(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top): top[0].data[...] = 100
    def backward(self, top, propagate_down, bottom): pass
"""


@pytest.fixture
def shift(monkeypatch):
    return register_shift(monkeypatch)


def net_file(folder, param_str="", module="shifts.layer"):
    path = folder / "net.prototxt"
    path.write_text(NET % (module, param_str))
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("'by': 2", {"by": 2}),
        ("'by': 2, 'axes': (1, 2)", {"by": 2, "axes": (1, 2)}),
        ("{'by': 2.5, 'loud': True}", {"by": 2.5, "loud": True}),
        ('{"by": 2.5, "loud": true, "mode": null}', {"by": 2.5, "loud": True, "mode": None}),
        ("by: 2\n# comment\n\naxes: [1, 2]\nmode: plain text", {"by": 2, "axes": [1, 2], "mode": "plain text"}),
        ("loud: yes\nby: null", {"loud": True, "by": None}),
        ("'by': 4,8,16", {"by": (4, 8, 16)}),
        ("by: __import__('os').getcwd()", {"by": "__import__('os').getcwd()"}),
    ],
)  # fmt: skip
def test_param_str_is_parsed_without_running_it(text, expected):
    assert param_values(text) == expected


@pytest.mark.parametrize(
    "text", ["1248, 768, 16", "{1: 2}", "{'by': 2", "{'by': f()}", "[1]", ": 3", "(" * 5000, "x" * 100_001]
)
def test_other_text_is_an_error(text):
    with raises("E103", "`param_str`"):
        param_values(text)


def test_a_known_class_is_replaced_and_computes(shift, tmp_path):
    net = netc.load(net_file(tmp_path, "'by': 2"))
    np.testing.assert_array_equal(net(torch.zeros(2, 3))["y"], np.full((2, 3), 2.0))


def test_both_names_are_recognized_and_written_back(shift, tmp_path):
    for module, text in (("shifts.layer", "{'by':  2}"), ("old", "by: 2\\n")):
        path = net_file(tmp_path, text, module)
        (node,) = netc.compiler.graph_of(netc.compiler.read_net(path), netc.compiler.TEST_STATE).nodes[1:]
        assert type(node.layer) is shift
        written = node.layer.to_caffe()
        assert written == {"module": module, "layer": "Shift", "param_str": text.replace("\\n", "\n")}


def test_parameters_that_a_program_changed_are_written_as_yaml(shift):
    assert shift().to_caffe() == {"module": "shifts.layer", "layer": "Shift"}
    layer = shift(2.5, (1, 2), param_str="'by': 3")
    assert layer.to_caffe()["param_str"] == "'by': 2.5\n'axes': [1, 2]"
    assert layer.original() == Python("shifts.layer", "Shift", "'by': 3")


def test_values_take_the_type_of_their_field(shift, tmp_path):
    read = shift._read("by: 2\naxes: 3\nloud: 1\nmode: fast\ncomment: none")
    assert read == {"by": 2.0, "axes": (3,), "loud": True, "mode": "fast"}
    assert isinstance(read["by"], float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'bi': 2", "unknown key `bi` in `param_str`"),
        ("'by': 4,8,16", "`by` in `param_str` is `(4, 8, 16)`: expected a number"),
        ("{'loud': 3}", "`loud` in `param_str` is `3`: expected a boolean"),
        ("{'mode': 3}", "`mode` in `param_str` is `3`: expected text"),
        ("{'axes': None}", "`axes` in `param_str` is `None`: expected a list"),
    ],
)
def test_a_param_str_that_does_not_fit_is_an_error_at_its_line(shift, tmp_path, text, message):
    with pytest.raises(netc.NetcError) as caught:
        netc.load(net_file(tmp_path, text))
    (found,) = caught.value.diagnostics
    assert (found.code, found.message, found.span.line) == ("E103", message, 3)


def test_bvlcs_dialect_keeps_the_python_layer(shift, tmp_path):
    found = netc.compiler.read_net(net_file(tmp_path, "'bi': 2"), dialect="bvlc")
    assert type(netc.compiler.graph_of(found, netc.compiler.TEST_STATE).nodes[1].layer) is Python


def test_the_users_class_runs_where_python_layers_may_run(shift, tmp_path, monkeypatch):
    import netc.pycaffe as caffe

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = str(net_file(tmp_path, "'by': 2"))
    np.testing.assert_array_equal(caffe.Net(path, caffe.TEST).forward()["y"], np.full((2, 3), 2.0))
    (tmp_path / "shifts").mkdir()
    for code, expected in (("import shifts.layer.more", 2), (CODE % "Other", 2), (CODE % "Shift", 100)):
        (tmp_path / "shifts" / "layer.py").write_text(code)
        for name in ("shifts", "shifts.layer"):
            sys.modules.pop(name, None)
        if "more" in code:
            with raises("E211", "cannot find Python module"):
                caffe.Net(path, caffe.TEST)
            continue
        np.testing.assert_array_equal(caffe.Net(path, caffe.TEST).forward()["y"], np.full((2, 3), expected))
    for name in ("shifts", "shifts.layer"):
        sys.modules.pop(name, None)


def test_pages_name_the_replaced_class(shift):
    assert "# Python: in place of shifts.layer.Shift and old.Shift, dialect `mnc`" in explain("Python")
    assert explain("shifts.layer.Shift") == explain("Shift")
    assert layer_documentation("Shift").python_classes == ("shifts.layer.Shift", "old.Shift")
    assert layer_documentation("Python").python_classes == ()
    assert layer_classes("Python")[0] is Python
    assert "Read from python_param.param_str." in explain("Shift")
