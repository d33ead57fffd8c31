import numpy as np
import pytest
import torch

from netc.layers.metric_learning.label_specific import LabelSpecificAdd, LabelSpecificMargin, LabelSpecificRescale
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of, shapes_of

SHAPES = ((3, 4), (3,)), ((5, 4), (5, 1))
CASES = [
    Case(layer, *SHAPES, integers=(1,), below=4, source=Source())
    for layer in (
        LabelSpecificAdd(3.0),
        LabelSpecificAdd(bias_base=3.0, bias_gamma=0.1, bias_max=9.0),
        LabelSpecificMargin(5.0),
        LabelSpecificMargin(5.0, 0.5),
        LabelSpecificRescale(0.5, 0.25),
        LabelSpecificRescale(positive_weight_base=0.5, gamma=0.5),
    )
]
SCORES, LABELS = values(4, 5).tanh(), torch.tensor([2, 0, 4, 1])
OWN = (range(4), LABELS.tolist())


def passes(layer, number, tops=2, scores=SCORES):
    """The tops of each of several training passes."""
    module = module_of(layer, shapes_of((scores, LABELS)), tops).double().train()
    return [[top.detach().numpy() for top in module(scores, LABELS)] for _ in range(number)]


def test_add():
    ((top, bias),) = passes(LabelSpecificAdd(-0.35), 1)
    expected = SCORES.numpy().copy()
    expected[OWN] += np.where(expected[OWN] > 0.35, -0.35, 0)
    np.testing.assert_allclose(top, expected)
    assert bias == pytest.approx([-0.35])
    layer = LabelSpecificAdd(bias_base=-0.2, bias_gamma=0.5, bias_power=-1, bias_min=-0.6)
    biases = [bias.item() for _, bias in passes(layer, 4)]
    assert biases == pytest.approx([-0.2, -0.2 + 1 / 1.5 - 1, -0.6, -0.6])


def test_margin():
    layer = LabelSpecificMargin(10.0, gamma=3.0, margin_max=15.0)
    for margin, (top, found) in zip((10.0, 13.0, 15.0), passes(layer, 3)):
        assert found == pytest.approx([margin])
        expected = SCORES.numpy().copy()
        expected[OWN] = np.cos(np.arccos(expected[OWN]) + np.radians(margin))
        np.testing.assert_allclose(top, expected, rtol=1e-9)


def test_rescale():
    ((top, weight),) = passes(LabelSpecificRescale(0.5, 2.0), 1)
    expected = SCORES.numpy() * 2
    expected[OWN] /= 4
    np.testing.assert_allclose(top, expected)
    assert weight == pytest.approx([0.5])
    ((top, _),) = passes(LabelSpecificRescale(0.5, for_ip=True), 1)
    expected = SCORES.numpy().copy()
    expected[OWN] *= np.where(expected[OWN] > 0, 0.5, 1)
    np.testing.assert_allclose(top, expected)
    weights = [weight.item() for _, weight in passes(LabelSpecificRescale(gamma=1.0, positive_weight_min=0.4), 3)]
    assert weights == pytest.approx([1, 0.5, 0.4])


@pytest.mark.parametrize("layer", [case.layer for case in CASES], ids=str)
def test_only_in_training(layer):
    module = module_of(layer, shapes_of((SCORES, LABELS)), 1).double().eval()
    assert torch.equal(module(SCORES, LABELS), SCORES)


def test_in_tests_too():
    module = module_of(LabelSpecificRescale(0.5, rescale_test=True), shapes_of((SCORES, LABELS)), 1).double().eval()
    assert not torch.equal(module(SCORES, LABELS), SCORES)


def test_files():
    assert round_trip("LabelSpecificAdd", bias=-0.5) == LabelSpecificAdd(-0.5)
    assert round_trip("LabelSpecificMargin", margin_base=4.0) == LabelSpecificMargin(4.0)
    assert round_trip("LabelSpecificRescale", positive_weight=4.0) == LabelSpecificRescale(4.0)


@pytest.mark.parametrize(
    ("code", "text", "type_name", "message"),
    [
        ("E101", "`auto_tune` is supported as false only", "LabelSpecificMargin",
         {"label_specific_margin_param": {"auto_tune": True}}),
        ("E101", "`bias_fix` is not supported", "LabelSpecificRescale",
         {"label_specific_rescale_param": {"bias_fix": True}}),
        ("E101", "`positive_lower_bound` is not supported", "LabelSpecificRescale",
         {"label_specific_rescale_param": {"positive_lower_bound": 0.5}}),
    ],
)  # fmt: skip
def test_parameters(code, text, type_name, message):
    with raises(code, text):
        layer_of(type_name, message)


def test_shapes():
    with raises("E102", "expected|bottom|axis|labels"):
        LabelSpecificAdd().infer(
            (
                (4, 5),
                (3,),
            ),
            1,
        )
