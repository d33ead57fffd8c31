import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.dropout import Dropout
from tests.layers.case import alike
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, module_of, run

CASES = [
    alike("Dropout", 0.3),
]


@pytest.mark.parametrize("stock", [True, False])
def test_training_drops_and_scales(stock):
    torch.manual_seed(5)
    x = np.arange(1.0, 20001.0).reshape(100, 200)
    (y,) = run(Dropout(dropout_ratio=0.3), x, training=True, stock=stock)
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / 0.7, rtol=1e-12)
    assert abs(kept.mean() - 0.7) < 0.02


@pytest.mark.parametrize("stock", [True, False])
def test_gradient_is_dropped_and_scaled_as_the_top(stock):
    torch.manual_seed(5)
    module = module_of(Dropout(dropout_ratio=0.25), ((30, 40),), stock=stock).train()
    x = torch.ones(30, 40, dtype=torch.float64, requires_grad=True)
    y = module(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())
    assert set(y.detach().unique().tolist()) == {0.0, 1 / 0.75}


@pytest.mark.parametrize("stock", [True, False])
def test_does_nothing_in_the_test_phase(stock):
    x = values(2, 3, 5).numpy()
    np.testing.assert_array_equal(run(Dropout(dropout_ratio=0.9), x, stock=stock)[0], x)
    np.testing.assert_array_equal(run(Dropout(dropout_ratio=0), x, training=True, stock=stock)[0], x)
    assert gradcheck(Dropout(dropout_ratio=0.9), (2, 3, 5))


def test_without_scale_train_the_test_phase_scales():
    torch.manual_seed(5)
    layer = Dropout(dropout_ratio=0.3, scale_train=False)
    x = np.arange(1.0, 20001.0).reshape(100, 200)
    (y,) = run(layer, x, training=True)
    np.testing.assert_array_equal(y[y != 0], x[y != 0])
    assert abs((y != 0).mean() - 0.7) < 0.02
    np.testing.assert_allclose(run(layer, x)[0], x * 0.7, rtol=1e-12)
    assert gradcheck(layer, (2, 3, 5))


def test_without_scale_train_the_gradient_is_dropped_only():
    torch.manual_seed(5)
    module = module_of(Dropout(dropout_ratio=0.25, scale_train=False), ((30, 40),)).train()
    x = torch.ones(30, 40, dtype=torch.float64, requires_grad=True)
    y = module(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())
    assert set(y.detach().unique().tolist()) == {0.0, 1.0}


def test_sampling_in_the_test_phase():
    torch.manual_seed(5)
    (y,) = run(Dropout(dropout_ratio=0.25, sample_weights_test=True), np.ones((30, 40)))
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert round_trip("Dropout", scale_train=False) == Dropout(0.5, scale_train=False)
    assert round_trip("Dropout", sample_weights_test=True) == Dropout(0.5, sample_weights_test=True)


def test_file_cost_and_place():
    assert round_trip("Dropout") == Dropout(0.5)
    assert round_trip("Dropout", dropout_ratio=0.3) == Dropout(0.3)
    assert v1_name("Dropout") == "DROPOUT"
    assert type(module_of(Dropout(), ((2, 3),))) is torch.nn.Dropout
    assert Dropout().cost(((2, 3),), ((2, 3),)) == Cost(0, 6)
    assert Dropout().in_place


def test_shapes_sizes_and_traces():
    assert repr(Dropout().infer(((UNKNOWN, 3),), 1)) == "((?, 3),)"
    resizes(Dropout(0.3), (values(2, 3, 5),), (values(4, 7),))
    traces(Dropout(0.3), values(2, 3, 5))


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5])
def test_ratio_out_of_range(ratio):
    with raises("E103", "it must be at least 0 and below 1"):
        round_trip("Dropout", dropout_ratio=ratio)
