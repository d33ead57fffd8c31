"""Operators of Caffe2 as ONNX and as plain torch: by rules of their own, with the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from netc.conversion.convert import convert
from netc.conversion.verify import verify
from netc.exporters.onnx.rules import RULES as ONNX
from netc.exporters.python.rules import RULES as PYTHON
from netc.layers import operator_class
from netc.schema import caffe2
from tests.weights.caffe2_files import tensor

IMAGE = (2, 4, 9, 7)
FILTER, BIAS, VECTORS = (6, 4, 3, 3), (6,), (4,)
WINDOW = 'arg { name: "kernel" i: 3 } arg { name: "stride" i: 2 }'
PADS = " ".join(f'arg {{ name: "pad_{side}" i: {pad} }}' for side, pad in zip("tlbr", (0, 1, 1, 0)))
LRN = 'arg { name: "size" i: 3 } arg { name: "alpha" f: 0.5 } arg { name: "beta" f: 0.75 } arg { name: "bias" f: 2 }'
CASES = {
    "conv": ("Conv", 'arg { name: "kernel" i: 3 } arg { name: "pad" i: 1 }', {"w": FILTER, "b": BIAS}),
    "conv without bias": ("Conv", WINDOW, {"w": FILTER}),
    "conv with other pads on each side": ("Conv", WINDOW + PADS, {"w": FILTER, "b": BIAS}),
    "conv of Caffe's windows": ("Conv", WINDOW + 'arg { name: "legacy_pad" i: 3 }', {"w": FILTER, "b": BIAS}),
    "conv in groups": (
        "Conv",
        'arg { name: "kernel" i: 3 } arg { name: "group" i: 2 } arg { name: "dilation" i: 2 }',
        {"w": (6, 2, 3, 3), "b": BIAS},
    ),
    "maximum": ("MaxPool", WINDOW, {}),
    "maximum of Caffe's windows": ("MaxPool", WINDOW + 'arg { name: "legacy_pad" i: 3 }', {}),
    "maximum with other pads on each side": ("MaxPool", WINDOW + PADS, {}),
    "mean": ("AveragePool", WINDOW + 'arg { name: "pad" i: 1 }', {}),
    "mean of Caffe's windows": ("AveragePool", WINDOW + 'arg { name: "legacy_pad" i: 3 }', {}),
    "global maximum": ("MaxPool", 'arg { name: "global_pooling" i: 1 }', {}),
    "global mean": ("AveragePool", 'arg { name: "global_pooling" i: 1 }', {}),
    "fc": ("FC", "", {"w": (5, 252), "b": (5,)}),
    "fc with a filter of images": ("FC", "", {"w": (5, 4, 9, 7), "b": (5,)}),
    "transposed fc": ("FCTransposed", "", {"w": (252, 5), "b": (5,)}),
    "batch norm": (
        "SpatialBN",
        'arg { name: "is_test" i: 1 } arg { name: "epsilon" f: 0.01 }',
        {"scale": VECTORS, "bias": VECTORS, "mean": VECTORS, "variance": VECTORS},
    ),
    "sum": ("Sum", "", {"other": IMAGE}),
    "sum and relu": ("SumRelu", "", {"other": IMAGE}),
    "add of channels": ("Add", 'arg { name: "broadcast" i: 1 } arg { name: "axis" i: 1 }', {"b": VECTORS}),
    "mul by NumPy's rule": ("Mul", "", {"b": (4, 1, 1)}),
    "sub of one number": ("Sub", 'arg { name: "broadcast" i: 1 }', {"b": (1,)}),
    "div of columns": ("Div", 'arg { name: "broadcast" i: 1 }', {"b": (9, 7)}),
    "lrn": ("LRN", LRN, {}),
    "softmax over images": ("Softmax", "", {}),
    "softmax of the last axis": ("Softmax", 'arg { name: "axis" i: 3 }', {}),
}
SECOND = {
    "concat": ("Concat", "", {"other": (2, 3, 9, 7)}, ("y", "extents")),
    "lrn with its scale": ("LRN", LRN, {}, ("y", "scale")),
}


def model(tmp_path, kind: str, arguments: str, blobs, outputs=("y",)):
    """A net of one operator with its blobs in a file."""
    names = "".join(f' input: "{name}"' for name in ("x", *blobs))
    tops = "".join(f' output: "{name}"' for name in outputs)
    external = "".join(f' external_input: "{name}"' for name in ("x", *blobs))
    net, weights = tmp_path / "net.pbtxt", tmp_path / "weights.pb"
    net.write_text(f'op {{ type: "{kind}"{names}{tops} {arguments} }}{external} external_output: "y"')
    generator = np.random.default_rng(len(kind))
    tensors = [tensor(generator.uniform(0.5, 1.5, shape), name) for name, shape in blobs.items()]
    weights.write_bytes(caffe2.TensorProtos(protos=tensors or [tensor(np.ones(1), "unused")]).SerializeToString())
    return net, weights, {"x": IMAGE}


@pytest.mark.parametrize(("name", "form"), [(n, f) for n in CASES for f in ("onnx", "py") if (n, f) != ("lrn", "py")])
def test_an_operator_by_its_rule(name, form, tmp_path, monkeypatch):
    kind, arguments, blobs = CASES[name]
    net, weights, shapes = model(tmp_path, kind, arguments, blobs)
    _without_the_general_path(monkeypatch)
    out = tmp_path / f"out.{form}"
    convert(net, weights, to=form, output=out, shapes=shapes)
    found = verify(net, out, weights=weights, shapes=shapes)
    assert found.agrees, found.first
    assert "y" in {one.name for one in found.differences}


@pytest.mark.parametrize("name", SECOND)
def test_second_outputs_in_onnx(name, tmp_path, monkeypatch):
    kind, arguments, blobs, outputs = SECOND[name]
    net, weights, shapes = model(tmp_path, kind, arguments, blobs, outputs)
    _without_the_general_path(monkeypatch)
    convert(net, weights, to="onnx", output=tmp_path / "out.onnx", shapes=shapes)
    assert verify(net, tmp_path / "out.onnx", weights=weights, shapes=shapes).agrees


def test_each_operator_has_both_rules():
    classes = {operator_class(kind) for kind, *_ in CASES.values()} - {operator_class("LRN")}
    assert classes <= ONNX.by_type.keys() & PYTHON.by_type.keys()


def _without_the_general_path(monkeypatch):
    def fail(*arguments):
        raise AssertionError("the operator has no rule")

    monkeypatch.setattr("netc.exporters.onnx.model.traced_layer", fail)
    monkeypatch.setattr("netc.exporters.python.source.traced_layer", fail)
