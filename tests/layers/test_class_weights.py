"""SoftmaxWithLoss with class weights and smoothed labels."""

import numpy as np
import pytest
import torch

from netc.layers.cross_entropy import SoftmaxWithLoss
from tests.layers.contract import raises
from tests.layers.harness import layer_from
from tests.layers.test_cross_entropy import LABELS, SCORES, backward, divisor, summed

WEIGHTS = (0.5, 2.0, 1.25, 0.25, 3.0)


@pytest.mark.parametrize("ignore", [None, 3, 9])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_softmax_loss_of_weights_and_smoothed_labels(ignore, smoothing):
    """The same as an infogain matrix of smoothed labels, each row times its class's weight."""
    rows = (1 - smoothing) * np.eye(5) + smoothing / 5
    labels = torch.where(LABELS == 3, ignore, LABELS) if ignore == 9 else LABELS
    total, count, gradient = summed(SCORES, labels, rows * np.array(WEIGHTS)[:, None], 1, ignore)
    layer = SoftmaxWithLoss(ignore, class_weights=WEIGHTS, label_smoothing=smoothing)
    loss, found = backward(layer, SCORES, labels)
    by = divisor("VALID", 24, 3, count)
    assert loss == pytest.approx(total / by, rel=1e-10)
    np.testing.assert_allclose(found, 1.5 * gradient / by, rtol=1e-9, atol=1e-15)


def test_weights_and_smoothing_of_caffe_and_back():
    loss = {"weight_by_label_freqs": True, "class_weighting": list(WEIGHTS), "label_smoothing": 0.1}
    layer = layer_from("SoftmaxWithLoss", loss_param=loss)
    assert (layer.class_weights, layer.label_smoothing) == (WEIGHTS, 0.1)
    assert layer.to_caffe() == {"loss_param": loss}
    assert layer_from("SoftmaxWithLoss", loss_param={"class_weighting": list(WEIGHTS)}) == SoftmaxWithLoss()


def test_weights_that_do_not_fit():
    shapes = ((3, 5, 4, 2), (3, 1, 4, 2))
    with raises("E101", "2 class weights for 5 classes"):
        SoftmaxWithLoss(class_weights=(1.0, 2.0)).infer(shapes, 1)
    with raises("E101", "`label_smoothing` is 1"):
        SoftmaxWithLoss(label_smoothing=1.0).infer(shapes, 1)


@pytest.mark.parametrize("type_name", ["InfogainLoss", "SigmoidCrossEntropyLoss"])
def test_losses_that_take_none(type_name):
    with raises("E101", f"`{type_name}` does not take `label_smoothing`"):
        layer_from(type_name, loss_param={"label_smoothing": 0.1, "normalization": "VALID"})
