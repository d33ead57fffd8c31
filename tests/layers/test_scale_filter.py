import numpy as np
import pytest
import torch

from netc.layers.scale_filter import ScaleFilter
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import module_of, run

CASES = [
    Case(
        made("ScaleFilter", 0.5, 2.0), ((2, 3, 4, 5),), ((3, 4, 2, 2),), source=Source(in_place=True, role="inner"),
    ),
]  # fmt: skip
REQUIRED = {"ScaleFilter": "min_scale: 0.25 max_scale: 2"}


def test_training_scales_whole_channels():
    torch.manual_seed(5)
    x = values(300, 20, 2, 3).numpy()
    (y,) = run(ScaleFilter(0.5, 2.0), x, training=True)
    scale = y / x
    np.testing.assert_allclose(scale, np.broadcast_to(scale[:, :, :1, :1], x.shape))
    assert 0.5 <= scale.min() < 0.51
    assert 1.99 < scale.max() <= 2
    assert abs(scale.mean() - 1.25) < 0.02


def test_gradient_is_scaled_as_the_top():
    x = torch.ones(30, 4, 5, 2, dtype=torch.float64, requires_grad=True)
    y = module_of(ScaleFilter(0.5, 2.0), ((30, 4, 5, 2),)).train()(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_identity_in_test_and_file():
    x = values(2, 3, 5, 2)
    np.testing.assert_array_equal(run(ScaleFilter(0.5, 2.0), x.numpy())[0], x)
    resizes(ScaleFilter(0.5, 2.0), (x,), (values(4, 2, 3, 3),))
    traces(ScaleFilter(0.5, 2.0), x)
    assert round_trip("ScaleFilter", min_scale=0.25, max_scale=3.0) == ScaleFilter(0.25, 3.0)
    with raises("E102", "expected planes"):
        ScaleFilter(0.5, 2.0).infer(((2, 3),), 1)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (1.0, float("inf"))])
def test_bounds(bounds):
    with raises("E103", "must be positive, and less than"):
        ScaleFilter(*bounds)
