"""Nets are copied, pickled and saved whole, by torch's and Python's own means."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
import torch

import netc
from netc.diagnostics import NetcError, Source
from netc.runtime.inference import Compiled, compile_main

NET = """name: "mixed"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 7 dim: 6 } } }
layer { name: "conv.1" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "fc" type: "InnerProduct" bottom: "bn" top: "fc"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "tied" type: "InnerProduct" bottom: "bn" top: "tied" param { name: "w" } param { name: "b" }
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "tied2" type: "InnerProduct" bottom: "bn" top: "tied2" param { name: "w" } param { name: "b" }
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "lost" type: "Pooling" bottom: "data" top: "?" pooling_param { pool: MAX kernel_size: 2 } }
"""


def through_torch(net, tmp_path):
    torch.save(net, tmp_path / "net.pt")
    return torch.load(tmp_path / "net.pt", weights_only=False)


COPIES = {
    "deepcopy": lambda net, tmp_path: copy.deepcopy(net),
    "pickle": lambda net, tmp_path: pickle.loads(pickle.dumps(net)),
    "torch.save": through_torch,
}


@pytest.fixture
def net():
    return netc.load(Source("net.prototxt", NET), seed=3)


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_computes_the_same(net, tmp_path, way):
    x = torch.rand(2, 3, 7, 6)
    expected = net(x)
    found = COPIES[way](net, tmp_path)
    assert not found.training
    assert found.inputs == net.inputs
    assert found.outputs == net.outputs
    assert all(torch.equal(found(x)[name], expected[name]) for name in expected)
    assert torch.equal(found.evaluate({"data": x}, ["bn"])["bn"], net.evaluate({"data": x}, ["bn"])["bn"])


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_has_weights_of_its_own(net, tmp_path, way):
    found = COPIES[way](net, tmp_path)
    with torch.no_grad():
        found.fc.weight.fill_(7)
        found.tied.weight.fill_(5)
    assert found.tied2.weight is found.tied.weight
    assert float(net.fc.weight.detach().max()) < 7
    assert float(net.tied.weight.detach().max()) < 5


@pytest.mark.parametrize("way", COPIES)
def test_errors_of_a_copy_point_at_the_line(net, tmp_path, way):
    found = COPIES[way](net, tmp_path)
    with pytest.raises(NetcError) as caught:
        found(torch.rand(2, 4, 7, 6))
    assert caught.value.diagnostics[0].span.line == 3
    assert caught.value.diagnostics[0].notes[-1] == "in layer `conv.1`, bottoms: data[2,4,7,6]"


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_of_a_compiled_net_is_compiled(net, tmp_path, way):
    compile_main(net)
    found = COPIES[way](net, tmp_path)
    own = found.program(found.graph.inputs, found.graph.outputs)
    assert isinstance(own, Compiled)
    assert own is not net.program(net.graph.inputs, net.graph.outputs)
    x = torch.rand(2, 3, 7, 6, requires_grad=True)  # the plain program runs
    assert torch.equal(found(x)["fc"], net(x)["fc"])


@pytest.mark.slow
def test_another_process_reads_a_pickled_net(net, tmp_path):
    x = torch.rand(2, 3, 7, 6)
    (tmp_path / "net.pickle").write_bytes(pickle.dumps((net, x)))
    program = (
        "import pickle, sys; net, x = pickle.load(open(sys.argv[1], 'rb')); print(float(net(x)['fc'].detach().sum()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "net.pickle")], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(float(net(x)["fc"].detach().sum()), rel=1e-6)


def test_a_graph_keeps_what_its_file_says(net):
    found = pickle.loads(pickle.dumps(net.graph))
    assert str(found) == str(net.graph)
    node = found.by_key["tied"]
    assert node.span.line == 10
    assert node.origin.get("num_output") == 5
    assert node.origin.span("param.name", 1).text == '"b"'
    assert node.origin.layer.message("pooling_param")["stride"] == 1  # a default of the schema
