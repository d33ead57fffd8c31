import math

import numpy as np
import pytest
import torch

from netc.layers.focal_loss import FocalLoss, TypedFocalLoss
from tests.layers.case import LABELLED, Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import module_of

CASES = [
    Case(FocalLoss(1.5, alpha=0.5, ignore_label=1), *LABELLED, tops=2, integers=(1,), below=3, source=Source()),
    *(
        Case(TypedFocalLoss(form=form), *LABELLED, integers=(1,), below=3, source=Source())
        for form in ("ORIGIN", "ONEADDP")
    ),
]


def transcription(scores, labels, layer):
    """The loss and its gradient by the formulas of the layers' code, for classes on axis 1."""
    scores = np.moveaxis(scores, 1, -1)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    loss, gradient, count, gamma = 0.0, np.zeros_like(p), 0, layer.gamma
    one_add = getattr(layer, "form", "") == "ONEADDP"
    alpha = getattr(layer, "alpha", 1.0)
    for place in np.ndindex(labels.shape):
        label = int(labels[place])
        if label == layer.ignore_label:
            continue
        pt, count = p[place][label], count + 1
        power = (1 + pt if one_add else 1 - pt) ** gamma
        loss -= alpha * power * math.log(pt)
        factor = power + (1 if one_add else -1) * gamma * power / (1 + pt if one_add else 1 - pt) * math.log(pt) * pt
        gradient[place] = alpha * factor * p[place]
        gradient[place][label] = alpha * factor * (pt - 1)
    divisor = {"VALID": count, "BATCH_SIZE": len(scores), "NONE": 1, "FULL": labels.size}[layer.normalization]
    return loss / divisor, np.moveaxis(gradient, -1, 1) / divisor


@pytest.mark.parametrize(
    "layer",
    [
        FocalLoss(),
        FocalLoss(0.5, alpha=2.0, ignore_label=1),
        FocalLoss(3.0, normalization="BATCH_SIZE"),
        TypedFocalLoss(1.5, ignore_label=2, normalization="FULL"),
        TypedFocalLoss(form="ONEADDP", normalization="NONE"),
        TypedFocalLoss(form="LINEAR"),
    ],
)
def test_values_and_gradients(layer):
    scores, labels = (
        values(4, 5, 3).requires_grad_(),
        torch.randint(0, 5, (4, 3), generator=torch.Generator().manual_seed(2)),
    )
    loss, probabilities = module_of(layer, ((4, 5, 3), (4, 3)), 2)(scores, labels)
    (2 * loss).backward()
    expected, gradient = transcription(scores.detach().numpy(), labels.numpy(), layer)
    assert loss.item() == pytest.approx(expected)
    np.testing.assert_allclose(scores.grad, 2 * gradient, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(probabilities, scores.detach().softmax(1))


def test_certain_labels_have_finite_gradients():
    scores = torch.tensor([[0.0, 1000.0]], requires_grad=True)
    for label in (0, 1):
        module_of(FocalLoss(0.5), ((1, 2), (1,)))(scores, torch.tensor([label])).backward()
        assert scores.grad.isfinite().all()


def test_files_and_meanings(graph_from):
    assert round_trip(FocalLoss, focal_loss_param={"alpha": 0.5, "gamma": 1.0, "axis": 2}) == FocalLoss(
        1.0, 2, alpha=0.5
    )
    assert round_trip(TypedFocalLoss, focal_loss_param={"type": "ONEADDP", "gamma": 1.0}) == TypedFocalLoss(
        1.0, form="ONEADDP"
    )
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 } } }'
        'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }'
        'layer { name: "f" type: "FocalLoss" bottom: "x" bottom: "y" top: "f" focal_loss_param { %s } }'
    )
    for own, cls in (
        ("alpha: 0.5", FocalLoss),
        ("type: ORIGIN alpha: 0.5", TypedFocalLoss),
        ("beta: 1", TypedFocalLoss),
    ):
        assert type(next(n.layer for n in graph_from(text % own).nodes if n.name == "f")) is cls
    with raises("E102", "labels"):
        FocalLoss().infer(((4, 5, 3), (4, 2)), 1)
    with raises("E301", "label outside 0 to 1: 2"):
        module_of(FocalLoss(), ((1, 2), (1,)))(torch.zeros(1, 2), torch.tensor([2.0]))
