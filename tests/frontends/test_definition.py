"""Definitions, whatever a file holds: chosen by content, with their states, graphs, files, weights and findings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import netc
from netc.diagnostics import NetcError, Source
from netc.frontends import NetDefinition, SolverDefinition, read, read_net, read_solver
from netc.frontends.reading import embedded_net
from netc.ir.fields import Fields
from netc.ir.graph import State
from tests.layers.meanings import register_upsample

ROOT = Path(__file__).parent.parent
NET = """name: "both"
state { stage: "base" }
layer { name: "data" type: "Data" top: "data" data_param { source: "db" batch_size: 2 } include { phase: TRAIN } }
layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } include { phase: TEST } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" param { name: "w" }
  inner_product_param { num_output: 4 } }
layer { name: "out" type: "Softmax" bottom: "fc" top: "out" include { stage: "deploy" } }
"""


def test_content_chooses_between_nets_and_solvers():
    assert isinstance(read(Source("net", NET)), NetDefinition)
    assert isinstance(read(Source("solver", "base_lr: 0.1")), SolverDefinition)
    assert [read(Source("s", text)).kind for text in (NET, "max_iter: 1")] == ["net", "solver"]
    with pytest.raises(NetcError, match="is a solver definition, expected a net"):
        read_net(Source("solver", "base_lr: 0.1"))
    with pytest.raises(NetcError, match="is a net definition, expected a solver"):
        read_solver(Source("net", NET))


def test_a_weights_file_is_a_net_too():
    path = ROOT / "reference" / "weights" / "v1_weights.caffemodel"
    net = read_net(path)
    assert net.weights_file == path
    assert [layer.type for layer in net.layers][:2] == ["Input", "Convolution"]
    assert net.weights is not None
    assert "conv1" in {layer.name for layer in net.weights.layers}
    assert "W803" in {d.code for d in net.report.diagnostics}
    assert "W803" in {d.code for d in netc.check(path)}


def test_states_layers_and_graphs():
    net = read_net(Source("net", NET))
    assert net.state("TEST", Fields({"stage": ["deploy"]})) == State("TEST", 0, ("base", "deploy"))
    assert State("TRAIN", 0, ("base", "deploy")) in list(net.states(net.state("TEST")))
    assert [net.included(layer, State("TEST")) for layer in net.layers] == [False, True, True, False]
    graph, report = net.graph(State("TRAIN"))
    assert not report.diagnostics
    assert [node.name for node in graph.nodes] == ["data", "fc"]
    assert [node.origin for node in graph.nodes] == [net.layers[0], net.layers[2]]
    assert [name for name, _ in net.mentions("stage")] == ["deploy"]
    assert [name for name, _ in net.mentions("parameter")] == ["w"]


def test_files_are_named_with_their_places():
    (file,) = read_net(Source("net", NET)).files()
    assert (file.path, file.what, file.span.line) == ("db", "database", 3)
    files = read_solver(Source("solver", 'net: "a.prototxt"\nweights: "b"\nweights: "c"')).files()
    assert [(file.path, file.what, file.span.line) for file in files] == [
        ("a.prototxt", "net", 1),
        ("b", "weights file", 2),
        ("c", "weights file", 3),
    ]


def test_an_origin_has_the_spans_of_its_layer():
    fc = read_net(Source("net", NET)).layers[2]
    assert (fc.name, fc.type, fc.bottoms, fc.tops, fc.file) == ("fc", "InnerProduct", ("data",), ("fc",), "net")
    assert [span.text for part in ("name", "type", "bottom", "top") if (span := fc.span(part))] == [
        '"fc"',
        '"InnerProduct"',
        '"data"',
        '"fc"',
    ]
    assert fc.span("num_output").text == "4"
    assert fc.span("param.name").text == '"w"'
    assert fc.span("param.name", 1) is fc.span("bottom", 1) is fc.span("stride") is None
    assert (fc.get("num_output"), fc.get("stride", 1)) == (4, 1)


def test_layers_with_an_error_are_omitted_silently():
    text = NET.replace("num_output: 4", "num_output: many")
    net = read_net(Source("net", text))
    assert [d.code for d in net.report.errors] == ["E006"]
    assert (net.faulty, net.is_complete) == ({2}, True)
    graph, report = net.graph(State("TEST", 0, ("deploy",)))
    assert [node.name for node in graph.nodes] == ["input"]
    assert not report.diagnostics


def test_a_net_within_a_solver():
    solver = read_solver(Source("solver", "net_param {\n" + NET + "}"))
    net = embedded_net(solver.fields["net_param"])
    assert [layer.name for layer in net.layers] == ["data", "input", "fc", "out"]
    assert net.span.line == 1


def test_a_dialect_chooses_the_meaning_of_a_type(monkeypatch):
    _, repeat, _ = register_upsample(monkeypatch)
    text = NET + 'layer { name: "up" type: "Upsample" bottom: "fc" top: "up" }\n'
    assert {d.code for d in read_net(Source("net", text)).graph(State())[1].errors} == {"E014"}
    graph, report = read_net(Source("net", text), dialect="bvlc").graph(State())
    assert {d.code for d in report.errors} == {"E014"}
    found = [d for d in netc.check(Source("net", text), dialect="ssd") if d.code == "E014"]
    assert [d.span.text for d in found] == ['"Upsample"']
    monkeypatch.setattr("netc.frontends.caffe.front_end._check_dialect", lambda name: None)  # `yolo` is a test's
    graph, report = read_net(Source("net", text), dialect="yolo").graph(State())
    assert not report.errors
    assert isinstance(graph.nodes[-1].layer, repeat)
    assert dataclasses.is_dataclass(graph.nodes[-1].layer)
