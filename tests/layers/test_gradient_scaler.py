import numpy as np
import pytest
import torch

from netc.ir.layer import Cost
from netc.layers.gradient_scaler import GradientScaler
from tests.layers.case import Source, alike
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import module_of, run

CASES = [alike("GradientScaler", source=Source(in_place=True, own_gradient="scaled and reversed"))]


def test_the_gradient_is_reversed_more_and_more():
    layer = GradientScaler(0.25, 0.75, 2.0, 3.0)
    module = module_of(layer, ((2, 3),)).train()
    for k in range(5):
        x = values(2, 3).requires_grad_()
        y = module(x)
        assert torch.equal(y, x)
        y.mul(3).sum().backward()
        factor = 2 * 0.5 / (1 + np.exp(-2 * min(k / 3, 1))) - 0.5 + 0.25
        torch.testing.assert_close(x.grad, torch.full_like(x, -3 * factor))


def test_outside_training_passes_do_not_count():
    module = module_of(GradientScaler(0.5, 1.0, 10.0, 4.0), ((2, 3),)).eval()
    for _ in range(3):
        x = values(2, 3).requires_grad_()
        module(x).sum().backward()
        assert torch.equal(x.grad, torch.full_like(x, -0.5))


def test_file_sizes_and_cost():
    assert round_trip("GradientScaler", lower_bound=0.5, max_iter=9.0) == GradientScaler(0.5, max_iter=9.0)
    np.testing.assert_array_equal(run(GradientScaler(), values(2, 3).numpy())[0], values(2, 3))
    resizes(GradientScaler(), (values(2, 3),), (values(4, 2, 3),))
    traces(GradientScaler(), values(2, 3))
    assert GradientScaler().cost((), ()) == Cost()


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("`lower_bound` 2 is above", {"lower_bound": 2.0}),
        ("`alpha` is -1", {"alpha": -1.0}),
        ("`max_iter` is 0", {"max_iter": 0.0}),
    ],
)
def test_parameters_out_of_range(text, parameters):
    with raises("E103", text):
        GradientScaler(**parameters)
