"""Layers of a weights file as arrays by name, and the arrays of a graph as the content of a file."""

import numpy as np
import pytest
import torch

from netc.compiler import copy_weights, file_weights, weighted
from netc.conversion.models import open_net
from netc.diagnostics import Source
from netc.runtime.net_weights import gradients
from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "one" type: "InnerProduct" bottom: "data" top: "one" param { name: "w" }
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }
layer { name: "relu" type: "ReLU" bottom: "one" top: "one" }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" param { name: "w" }
  inner_product_param { num_output: 3 } }
"""


@pytest.fixture
def net():
    return open_net(Source("net", NET))


def test_arrays_are_those_of_the_blobs():
    array = np.ones((2, 1), np.float32)
    weights = Weights((LayerBlobs("a", "Scale", (BlobArray(array), None)), LayerBlobs("b", "ReLU")))
    assert weights.arrays == [("a", [array, None]), ("b", [])]
    assert [layer.name for layer in weights.with_blobs.layers] == ["a"]


def test_every_layer_of_a_graph_is_in_its_file_weights(net, tmp_path):
    content = file_weights(weighted(net))
    assert [(layer.name, layer.type) for layer in content.layers] == [
        ("one", "InnerProduct"),
        ("relu", "ReLU"),
        ("two", "InnerProduct"),
    ]
    one, relu, two = (layer.blobs for layer in content.layers)
    assert [blob.shape for blob in one] == [(3, 3), (3,)]
    assert relu == ()
    np.testing.assert_array_equal(one[0].data, two[0].data)
    write_caffemodel(tmp_path / "net.caffemodel", content)
    other = open_net(Source("net", NET), seed=5)
    assert not torch.equal(other.blobs[0].data, net.blobs[0].data)
    assert copy_weights(other, tmp_path / "net.caffemodel").loaded == ("one", "two")
    assert all(torch.equal(a.data, b.data) for a, b in zip(other.blobs, net.blobs))


def test_gradients_and_shared_blobs(net):
    net.train()(torch.ones(2, 3))["two"].sum().backward()
    graph = weighted(net)
    shared, single = (file_weights(graph, gradients(net), shared) for shared in (True, False))
    assert [[blob is None for blob in layer.blobs] for layer in single.layers] == [[False, False], [], [True, False]]
    first, second = shared.layers[0].blobs[0].diff, shared.layers[2].blobs[0].diff
    assert np.abs(first).max() > 0
    np.testing.assert_array_equal(first, second)
    assert file_weights(graph).layers[0].blobs[0].diff is None
