"""A Softmax in the place of each SoftmaxWithLoss: labels are gone, names are free ones."""

import numpy as np

from netc.compiler import graph_of, read_net
from netc.conversion.models import net_of
from netc.diagnostics import Source
from netc.ir.graph import State
from netc.passes.data_to_inputs import data_to_inputs
from netc.passes.losses_to_scores import losses_to_scores

TRAINING = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 5 dim: 3 } shape { dim: 2 dim: 3 } } }
layer { name: "prob" type: "Power" bottom: "data" top: "scaled" power_param { scale: 2 } }
layer { name: "one" type: "SoftmaxWithLoss" bottom: "scaled" bottom: "label" top: "one" }
layer { name: "two" type: "SoftmaxWithLoss" bottom: "scaled" bottom: "label" top: "two" loss_weight: 0.5 }
layer { name: "rows" type: "SoftmaxWithLoss" bottom: "scaled" bottom: "marks" top: "rows" top: "chance"
  softmax_param { axis: 2 } }
"""


def graph():
    marks = 'layer { name: "marks" type: "Input" top: "marks" input_param { shape { dim: 2 dim: 5 } } }'
    net = read_net(Source("net", marks + TRAINING))
    assert not net.report.errors
    return graph_of(net, State("TEST"))


def test_each_scores_get_one_softmax():
    made = losses_to_scores(graph())
    assert [(node.name, node.layer.type) for node in made.nodes if node.layer.type != "Input"] == [
        ("prob", "Power"), ("prob_1", "Softmax"), ("prob_2", "Softmax"),
    ]  # fmt: skip
    assert [node.layer.axis for node in made.nodes[-2:]] == [1, 2]
    assert made.losses == ()


def test_labels_are_removed_and_the_results_are_probabilities():
    made = losses_to_scores(data_to_inputs(graph()))
    assert {made.values[name].blob for name in made.inputs} <= {"data"}
    batch = np.random.default_rng(0).standard_normal((2, 5, 3), dtype=np.float32)
    found = net_of(made).run(data=batch)
    powers = np.exp(2 * batch)
    np.testing.assert_allclose(found["prob_1"], powers / powers.sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(found["chance"], powers / powers.sum(2, keepdims=True), rtol=1e-5)


def test_a_net_without_such_a_loss_is_unchanged():
    net = read_net(Source("net", TRAINING[: TRAINING.index('layer { name: "one"')]))
    before = graph_of(net, State("TEST"))
    after = losses_to_scores(before)
    assert after.nodes == before.nodes
    assert after.inputs == before.inputs


def test_a_loss_that_a_layer_reads_is_kept_after_its_softmax():
    text = TRAINING + 'layer { name: "twice" type: "Power" bottom: "rows" top: "twice" power_param { scale: 2 } }'
    marks = 'layer { name: "marks" type: "Input" top: "marks" input_param { shape { dim: 2 dim: 5 } } }'
    before = data_to_inputs(graph_of(read_net(Source("net", marks + text)), State("TEST")))
    made = losses_to_scores(before)
    assert [node.name for node in made.nodes] == ["prob", "prob_1", "prob_2", "rows", "twice"]
    assert [made.values[name].blob for name in made.inputs] == ["marks", "data"]
    batch = {"data": np.random.default_rng(0).standard_normal((2, 5, 3), dtype=np.float32), "marks": np.ones((2, 5))}
    found, expected = net_of(made).run(batch), net_of(before).run({**batch, "label": np.ones((2, 3))}, ["twice"])
    np.testing.assert_array_equal(found["twice"], expected["twice"])
