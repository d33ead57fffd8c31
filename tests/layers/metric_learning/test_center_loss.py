import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.metric_learning.center_loss import CenterLoss
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, round_trip, traces, values
from tests.layers.harness import module_of, shapes_of

REQUIRED = {
    "CenterLoss": "num_output: 2",
}
CASES = [
    Case(
        made("CenterLoss", 4),
        ((6, 3, 2), (6,)),
        ((5, 6), (5,)),
        integers=(1,),
        below=4,
        source=Source(own_gradient="the update of the centers"),
    ),
]
LABELS = np.array([2, 0, 2, 1, 2])


def test_forward_and_backward():
    x, labels = values(5, 2, 3).requires_grad_(), torch.from_numpy(LABELS)
    module = module_of(CenterLoss(4), shapes_of((x, labels))).double()
    loss = module(x, labels)
    (3 * loss).backward()
    centers, rows = module.centers.detach().numpy(), x.detach().numpy().reshape(5, 6)
    distance = rows - centers[LABELS]
    assert loss.item() == pytest.approx((distance**2).sum() / 10)
    np.testing.assert_allclose(x.grad.reshape(5, 6), 3 * distance / 5)
    for label in range(4):  # not multiplied by the loss weight
        own = distance[label == LABELS]
        np.testing.assert_allclose(module.centers.grad[label], -own.sum(0) / (1 + len(own)), atol=1e-15)


def test_frozen_centers_and_traces():
    x, labels = values(5, 3).requires_grad_(), torch.from_numpy(LABELS)
    module = module_of(CenterLoss(4), shapes_of((x, labels))).double().requires_grad_(False)
    module(x, labels).backward()
    assert x.grad is not None
    traces(CenterLoss(4), values(5, 3), labels)


def test_files_and_shapes():
    assert round_trip("CenterLoss", num_output=5, axis=2) == CenterLoss(5, axis=2)
    assert CenterLoss(5).label_classes((6, 3)) == 5
    assert CenterLoss(5).weights(((6, 3, UNKNOWN), (6,)))[0].shape[0] == 5
    with raises("E103", "`num_output` is 0: it must be positive"):
        round_trip("CenterLoss", num_output=0)
    with raises("E102", "expected one label per item"):
        CenterLoss(5).infer(((6, 3), (6, 3)), 1)
    with raises("E301", "label outside 0 to 3: 4"):
        module_of(CenterLoss(4), ((1, 3), (1,)))(torch.zeros(1, 3), torch.tensor([4.0]))


def test_no_weight_by_default(graph_from):
    layer = 'layer { name: "c" type: "CenterLoss" bottom: "x" bottom: "y" %s center_loss_param { num_output: 3 } }'
    inputs = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 } } } '
        'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 4 } } } '
    )
    assert graph_from(inputs + layer % 'top: "loss"').nodes[-1].loss_weights == ()
    assert graph_from(inputs + layer % 'top: "loss" loss_weight: 0.5').nodes[-1].loss_weights == (0.5,)
