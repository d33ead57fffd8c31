import math

import numpy as np
import pytest
import torch

from netc.layers.segmentation.red_softmax_loss import RedSoftmaxLoss
from tests.layers.case import LABELLED, Case, Source
from tests.layers.contract import raises, round_trip, v1_name, values
from tests.layers.harness import layer_of, module_of

CASES = [
    Case(RedSoftmaxLoss(3), *LABELLED, tops=2, integers=(1,), below=3, source=Source()),
    Case(RedSoftmaxLoss(ignore_label=1), *LABELLED, integers=(1,), below=3, source=Source()),
]


@pytest.mark.parametrize("classes", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("ignore", [None, 0])
@pytest.mark.parametrize("mode", ["VALID", "BATCH_SIZE"])
def test_values_and_gradients(classes, ignore, mode):
    scores = values(4, 5, 2, 3).requires_grad_()
    labels = torch.randint(0, classes or 5, (4, 2, 3), generator=torch.Generator().manual_seed(2))
    loss, probabilities = module_of(RedSoftmaxLoss(classes, ignore, mode), (scores.shape, labels.shape), 2)(
        scores, labels
    )
    (2 * loss).backward()
    p = probabilities.numpy()
    total, gradient, count = 0.0, np.zeros_like(p), 0
    for i, h, w in np.ndindex(labels.shape):
        label = int(labels[i, h, w])
        if label == ignore:
            continue
        start, end = label * 5 // (classes or 5), min(5, (label + 1) * 5 // (classes or 5))
        own = p[i, start:end, h, w].sum()
        total -= math.log(own)
        gradient[i, :, h, w] = p[i, :, h, w]
        gradient[i, start:end, h, w] -= p[i, start:end, h, w] / own
        count += 1
    divisor = max(1, count) if mode == "VALID" else 4
    assert loss.item() == pytest.approx(total / divisor, abs=1e-12)
    np.testing.assert_allclose(scores.grad, 2 * gradient / divisor, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(probabilities, scores.detach().softmax(1))


def test_files_and_shapes():
    layer = round_trip("RedSoftmaxLoss", red_softmax_loss_param={"class_num": 2}, loss_param={"ignore_label": 255})
    assert layer == RedSoftmaxLoss(2, 255)
    assert v1_name("RedSoftmaxLoss") == "RED_SOFTMAX_LOSS"
    assert layer_of("RedSoftmaxLoss", {"loss_param": {"normalize": False}}).normalization == "BATCH_SIZE"
    assert (layer.label_classes((4, 5)), RedSoftmaxLoss().label_classes((4, 5))) == (2, 5)
    assert layer.label_shape((4, 5, 2, 3)) == (4, 2, 3)
    with raises("E103", "`class_num` is 6, for 5 channels"):
        RedSoftmaxLoss(6).infer(((4, 5), (4,)), 1)
    with raises("E102", "label"):
        layer.infer(((4, 5, 2, 3), (4, 2)), 1)
    with raises("E301", "label outside 0 to 1: 2"):
        module_of(RedSoftmaxLoss(2), ((1, 4), (1,)))(torch.zeros(1, 4), torch.tensor([2.0]))


def test_v1_files(graph_from):
    inputs = "".join(
        f'input: "{name}" input_dim: 2 input_dim: {c} input_dim: 1 input_dim: 1 ' for name, c in (("x4", 4), ("y1", 1))
    )
    layer = 'layers { name: "l" type: RED_SOFTMAX_LOSS bottom: "x4" bottom: "y1" top: "l" '
    graph = graph_from(inputs + layer + "red_softmax_loss_param { class_num: 2 } }")
    assert next(node.layer for node in graph.nodes if node.name == "l") == RedSoftmaxLoss(2)
