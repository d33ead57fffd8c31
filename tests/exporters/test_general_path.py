"""Layers without a rule of their own: traced, and exported to ONNX and .py with the net's results."""

import functools
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from netc.compiler import graph_of, read_net
from netc.diagnostics import NetcError
from netc.exporters.onnx import onnx_model, traced
from netc.exporters.onnx.rules import RULES as ONNX
from netc.exporters.python import source, source_of
from netc.exporters.python.rules import RULES as PYTHON
from netc.ir.graph import State
from netc.ir.layer import Count, Layer, Weight
from netc.ir.shapes import infer
from netc.passes.data_to_inputs import data_to_inputs
from tests.conversion.nets import inputs_of, trained, write
from tests.exporters.test_layers import BOTH, expected, feeds, loaded, results, same
from tests.exporters.test_onnx import LAYERS, ONE, run
from tests.exporters.test_python import written

CASES = {**BOTH, **{name: ONE.format(text) for name, text in LAYERS.items()}}
NOT_IN_ONNX = {
    "best with values": "torch has no ONNX form of a stable sort (aten.sort.stable)",
    "best of channels": "torch has no ONNX form of a stable sort (aten.sort.stable)",
}
"""Cases that the general path cannot export to ONNX, and why."""
QUICK = ("best of channels", "bias", "lstm", "mask", "product of planes", "scores of planes", "two images", "words")
"""Cases that every run of the tests exports; the others are slow."""
SOME_QUICK = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
UNROLLED = ("lstm", "lstm with an image", "lstm in the open", "rnn", "rnn in the open")
"""Cases whose number of steps is fixed: the loop over the steps is unrolled as it is traced."""


@dataclass(frozen=True)
class Wave(Layer):
    """A layer that no exporter has heard of: a learned sine, and the elements above a threshold."""

    shift: float = 0.5

    top_count: ClassVar[Count] = Count(2)

    def infer(self, bottoms, tops):
        (bottom,) = bottoms
        return (bottom, (bottom[1], bottom[0]))

    def weights(self, bottoms):
        return (Weight("weight", bottoms[0][1:]), Weight("phase", (1,), learnable=False))

    def forward(self, bottoms, weights, mode):
        (x,) = bottoms
        table = torch.tensor([3, 1], dtype=torch.int64)
        wave = (x * weights[0]).sin() + weights[1] * table[0]
        return wave, (x > self.shift).to(x.dtype).T


class Doubtful(Wave):
    """A layer whose arithmetic data decides."""

    def forward(self, bottoms, weights, mode):
        return super().forward(bottoms, weights, mode) if bottoms[0].sum() > 0 else (bottoms[0], bottoms[0].T)


def with_layer(folder, layer):
    """A net of one layer of a class that is not registered."""
    text = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 5 } } }
    layer { name: "one" type: "Split" bottom: "data" top: "one" top: "two" }"""
    graph = data_to_inputs(graph_of(read_net(write(folder, text)), State("TEST")))
    (node,) = graph.nodes
    graph, report = infer(graph.replace(nodes=(replace(node, layer=layer),)))
    report.raise_errors()
    shapes = [weight.shape for weight in graph.weights(graph.nodes[0])]
    generator = np.random.default_rng(2)
    return graph.with_arrays({"one": [generator.standard_normal(shape).astype(np.float32) for shape in shapes]})


@pytest.fixture
def no_rules(monkeypatch):
    """Both formats without any rule."""
    for rules in (ONNX, PYTHON):
        assert rules.by_type
        monkeypatch.setattr(rules, "_by_type", {})
    monkeypatch.setattr(source, "stock_module", lambda layer, call: None)


@pytest.fixture(scope="module")
def one_registry():
    """torch's registry of operators, which takes seconds to make, made once for all cases."""
    registration = pytest.importorskip("torch.onnx._internal.exporter._registration")
    patch = pytest.MonkeyPatch()
    made = registration.ONNXRegistry.from_torchlib
    patch.setattr(registration.ONNXRegistry, "from_torchlib", staticmethod(functools.cache(made)))
    yield
    patch.undo()


def inputs(model, name):
    if name in UNROLLED:
        generator = np.random.default_rng(0)
        feed = {value: generator.standard_normal(model.shape(value), dtype=np.float32) for value in model.inputs}
        feed["b"] = np.round(np.abs(feed["b"])) % 2
        return [feed]
    return feeds(model, name) if name in BOTH else [inputs_of(model, 1), inputs_of(model, 3)]


@pytest.mark.parametrize("name", SOME_QUICK)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_python(tmp_path, no_rules, name):
    model = trained(write(tmp_path, CASES[name]))
    exported = loaded(tmp_path, model)
    for feed in inputs(model, name):
        same(results(exported, feed), expected(model, feed))


@pytest.mark.parametrize("name", SOME_QUICK)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_onnx(tmp_path, no_rules, one_registry, name):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = trained(write(tmp_path, CASES[name]))
    if name in NOT_IN_ONNX:
        with pytest.raises(NetcError, match="`ArgMax` cannot be exported to ONNX") as caught:
            onnx_model(model)
        assert "torch has no ONNX form" in caught.value.diagnostics[0].notes[-1]
        return
    exported = onnx_model(model).proto()
    for feed in inputs(model, name):
        found = run(exported, feed)
        same([found[value] for value in model.outputs], expected(model, feed))


def test_a_layer_without_a_rule_is_exported(tmp_path):
    pytest.importorskip("onnxscript")
    model = with_layer(tmp_path, Wave())
    text = written(tmp_path, model)
    assert "def wave(x: Tensor, weight: Tensor, phase: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:" in text
    assert "netc" not in text.replace("written by netc", "")
    exported = onnx_model(model).proto()
    shapes = {
        one.name: [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim] for one in exported.graph.output
    }
    assert shapes == {"one": ["batch", 5], "two": [5, "batch"]}
    assert {"one.weight", "one.phase"} <= {tensor.name for tensor in exported.graph.initializer}
    for feed in (inputs_of(model, 1), inputs_of(model, 3)):
        wanted = expected(model, feed)
        same(run(exported, feed).values(), wanted)
        same(results(loaded(tmp_path, model), feed), wanted)


def test_data_dependent_control_flow_is_an_error(tmp_path):
    model = with_layer(tmp_path, Doubtful())
    for export in (onnx_model, lambda graph: source_of(graph, "w.safetensors")):
        with pytest.raises(NetcError) as caught:
            export(model)
        (found,) = caught.value.diagnostics
        assert found.code == "E801"
        assert found.line == 2
        assert "cannot be traced" in found.notes[-1]


def test_a_missing_onnxscript_names_the_extra(tmp_path, no_rules, monkeypatch):
    monkeypatch.setattr(traced, "find_spec", lambda name: None)
    model = trained(write(tmp_path, ONE.format('type: "Sigmoid"')))
    with pytest.raises(NetcError) as caught:
        onnx_model(model)
    assert "netc[export]" in caught.value.diagnostics[0].help
