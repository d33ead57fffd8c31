import numpy as np
import torch

from netc.layers.spatial_dropout import SpatialDropout
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import module_of, run

CASES = [
    Case(
        made("SpatialDropout", 0.3), ((2, 3, 4, 5),), ((3, 4, 2),), source=Source(in_place=True, role="inner"),
    ),
]  # fmt: skip


def test_training_drops_whole_channels():
    torch.manual_seed(5)
    x = np.ones((300, 20, 2, 3))
    (y,) = run(SpatialDropout(0.3), x, training=True)
    assert (y == y[:, :, :1, :1]).all()
    assert set(np.unique(y)) == {0, 1 / 0.7}
    assert abs((y != 0).mean() - 0.7) < 0.02


def test_gradient_is_dropped_and_scaled_as_the_top():
    torch.manual_seed(5)
    x = torch.ones(30, 4, 5, dtype=torch.float64, requires_grad=True)
    y = module_of(SpatialDropout(0.25), ((30, 4, 5),)).train()(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_identity_in_test_and_file():
    x = values(2, 3, 5)
    np.testing.assert_array_equal(run(SpatialDropout(0.9), x.numpy())[0], x)
    resizes(SpatialDropout(), (x,), (values(4, 2, 3, 3),))
    traces(SpatialDropout(), x)
    assert round_trip("SpatialDropout", dropout_ratio=0.25) == SpatialDropout(0.25)
    with raises("E103", "at least 0 and below 1"):
        SpatialDropout(1.0)
    with raises("E102", "at least 2 axes"):
        SpatialDropout().infer(((2,),), 1)
