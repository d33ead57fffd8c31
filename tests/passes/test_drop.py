"""Layers that only training needs are taken out."""

import pytest

from netc.compiler import graph_of, read_net
from netc.ir.graph import State
from netc.passes.data_to_inputs import data_to_inputs
from netc.passes.drop_identities import drop_identities
from netc.passes.drop_losses import drop_losses
from tests.conversion.nets import write

NET = """
layer { name: "data" type: "Input" top: "data" top: "label" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "first" type: "Dropout" bottom: "data" top: "kept" }
layer { name: "split" type: "Split" bottom: "kept" top: "a" top: "b" }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }
layer { name: "last" type: "Dropout" bottom: "sum" top: "sum" }
layer { name: "named" type: "Dropout" bottom: "sum" top: "scores" }
"""
LOSSES = """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "scores" bottom: "label" top: "accuracy" }
"""


def graph(folder, text):
    return data_to_inputs(graph_of(read_net(write(folder, text)), State("TEST")))


def test_dropout_and_split_are_removed_unless_they_name_an_output(tmp_path):
    found = drop_identities(graph(tmp_path, NET))
    assert [node.name for node in found.nodes] == ["sum", "named"]
    assert found.nodes[0].bottoms == ("data", "data")
    assert found.outputs == ("label", "scores")


def test_an_in_place_dropout_at_the_end_is_removed(tmp_path):
    found = drop_identities(graph(tmp_path, NET.rsplit("layer", 1)[0]))
    assert [node.name for node in found.nodes] == ["sum"]
    assert [found.values[name].blob for name in found.outputs] == ["label", "sum"]


def test_losses_are_removed_with_inputs_that_only_they_read(tmp_path):
    found = drop_losses(graph(tmp_path, NET + LOSSES))
    assert found.inputs == ("data",)
    assert found.outputs == ("scores",)


def test_a_net_without_losses_is_unchanged(tmp_path):
    whole = graph(tmp_path, NET)
    assert drop_losses(whole) is whole


@pytest.mark.parametrize(
    ("parameters", "stays"),
    [
        ("dropout_ratio: 0.3", False),
        ("dropout_ratio: 0.3 scale_train: false", True),
        ("dropout_ratio: 0.3 sample_weights_test: true", True),
        ("dropout_ratio: 0 sample_weights_test: true", False),
    ],
)
def test_a_dropout_with_an_effect_in_test_is_kept(tmp_path, parameters, stays):
    text = NET.rsplit("layer", 2)[0]
    text += f'layer {{ name: "some" type: "Dropout" bottom: "sum" top: "sum" dropout_param {{ {parameters} }} }}'
    found = drop_identities(graph(tmp_path, text))
    assert ("some" in [node.name for node in found.nodes]) == stays


READ = 'layer { name: "twice" type: "Power" bottom: "loss" top: "twice" power_param { scale: 2 } }\n'
WRITER = """layer { name: "out" type: "HDF5Output" bottom: "scores" bottom: "label"
  hdf5_output_param { file_name: "x" } }"""


def test_a_loss_that_a_layer_reads_is_kept_with_its_labels(tmp_path):
    found = drop_losses(graph(tmp_path, NET + LOSSES + READ))
    assert [node.name for node in found.nodes][-2:] == ["loss", "twice"]
    assert found.inputs == ("data", "label")
    assert found.outputs == ("twice",)


def test_a_loss_that_only_removed_layers_read_is_removed(tmp_path):
    found = drop_losses(graph(tmp_path, NET + LOSSES + 'layer { name: "none" type: "Silence" bottom: "loss" }'))
    assert found.nodes[-1].name == "named"
    assert found.inputs == ("data",)


def test_the_losses_of_a_net_without_other_layers_are_kept(tmp_path):
    data, loss = NET.strip().splitlines()[0], LOSSES.strip().splitlines()[0]
    whole = graph(tmp_path, data + loss.replace("scores", "data"))
    assert drop_losses(whole) is whole


def test_a_layer_that_writes_a_file_is_removed(tmp_path):
    found = drop_losses(graph(tmp_path, NET + WRITER))
    assert found.nodes[-1].name == "named"
    assert found.outputs == ("scores",)
