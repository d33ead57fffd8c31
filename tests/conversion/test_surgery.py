"""Trained nets changed: results stay where they should."""

import numpy as np
import pytest

from netc.conversion import surgery
from netc.conversion.models import net_of
from netc.diagnostics import NetcError
from tests.conversion.nets import close, inputs_of


def test_fully_connected_layers_slide_as_convolutions(mixed):
    _, _, model = mixed
    made = surgery.fc_to_conv(model)
    feed = inputs_of(model, 2)
    (expected,), (found,) = net_of(model).run(feed).values(), net_of(made).run(feed).values()
    assert close(expected, found.reshape(expected.shape))
    larger = np.zeros((1, 3, 23 + 16, 19), np.float32)
    assert net_of(made).run(data=larger)["prob"].shape[2] > 1


def test_a_layer_with_another_number_of_classes_is_initialized_and_the_rest_kept(mixed):
    _, _, model = mixed
    made = surgery.classes(model, "fc", 9, rename="fc_new", seed=1)
    node = surgery.node_named(made, "fc_new")
    assert [blob.shape[0] for blob in made.arrays(node)] == [9, 9]
    conv = surgery.node_named(made, "conv1")
    assert made.arrays(conv)[0] is model.arrays(surgery.node_named(model, "conv1"))[0]
    assert net_of(made).run(inputs_of(model, 2))["prob"].shape == (2, 9)
    with pytest.raises(NetcError, match="`relu1` is a `ReLU`"):
        surgery.classes(model, "relu1", 3)


def test_drop_and_rename(mixed):
    _, _, model = mixed
    assert "relu1" not in [node.name for node in surgery.drop(model, ["relu1", "drop"]).nodes]
    with pytest.raises(NetcError, match="cannot be removed"):
        surgery.drop(model, ["pool1"])
    with pytest.raises(NetcError, match="no layer `conv9`"):
        surgery.drop(model, ["conv9"])
    renamed = surgery.rename(model, {"fc": "scores/1.a", "conv1": "fc"})
    feed = inputs_of(model, 2)
    assert close(net_of(model).run(feed)["prob"], net_of(renamed).run(feed)["prob"], 0)


def test_a_net_is_truncated_after_a_blob(mixed):
    _, _, model = mixed
    made = surgery.crop(model, "join")
    feed = inputs_of(model, 2)
    assert net_of(made).outputs == ("join",)
    assert close(net_of(model).run(feed, ["join"])["join"], net_of(made).run(feed)["join"], 0)
    assert {node.name for node in made.nodes if made.arrays(node)} == {"conv1", "bn1", "scale1", "left"}
