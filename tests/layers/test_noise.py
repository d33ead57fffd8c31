import numpy as np
import pytest
import torch

from netc.layers.noise import AddedNoise, NoiseOfItems
from tests.layers.case import Case, Source, alike
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import layer_from, module_of, run

CASES = [
    alike("Noise", uniform_range=0.7, source=Source(in_place=True)),
    Case(NoiseOfItems(1.0, 0.1), ((2, 3, 5),), ((4, 3, 2, 3),), source=Source()),
]


@pytest.mark.parametrize(
    ("layer", "mean", "deviation"),
    [
        (AddedNoise(gaussian_std=0.5), 0, 0.5 * 3),
        (AddedNoise(gaussian_std=0.5, uniform_range=9.0, bias=2.0), 2, 0.5 * 3),
        (AddedNoise(uniform_range=2.0, bias=-1.0), -1, 2 / np.sqrt(3)),
        (AddedNoise(), 0, 0),
    ],
)
def test_added_numbers(layer, mean, deviation):
    torch.manual_seed(5)
    x = np.full((200, 300), -3.0)
    noise = run(layer, x, training=True)[0] - x
    assert noise.mean() == pytest.approx(mean, abs=0.02)
    assert noise.std() == pytest.approx(deviation, rel=0.02)
    if layer.gaussian_std is None:
        assert np.abs(noise - mean).max() <= (layer.uniform_range or 0)
    np.testing.assert_array_equal(run(layer, x)[0], x)


def test_gradient_of_added_numbers_is_that_of_the_identity():
    x = values(3, 4).requires_grad_()
    module_of(AddedNoise(gaussian_std=0.5), ((3, 4),)).train()(x).mul(2).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 2))


def test_factors_of_items():
    torch.manual_seed(5)
    x = torch.ones(20000, 3, dtype=torch.float64, requires_grad=True)
    y = module_of(NoiseOfItems(2.0, 0.5), ((20000, 3),)).train()(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())
    assert (y[:, :1] == y).all()
    assert y.mean().item() == pytest.approx(2, abs=0.02)
    assert y[:, 0].std().item() == pytest.approx(0.5, rel=0.02)
    assert not run(NoiseOfItems(2.0, 0.5), np.ones((2, 3)))[0].any()


def test_files_sizes_and_traces(graph_from):
    assert round_trip("Noise", gaussian_std=0.5) == AddedNoise(0.5)
    text = 'layer { name: "n" type: "Noise" bottom: "x" top: "y" noise_param { mu: 1 sigma: 2 } }'
    inputs = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }\n'
    assert graph_from(inputs + text).nodes[-1].layer == NoiseOfItems(1.0, 2.0)
    for layer in (AddedNoise(0.5), NoiseOfItems(1.0, 2.0)):
        resizes(layer, (values(2, 3),), (values(4, 2, 3),))
        traces(layer, values(2, 3))
    with raises("E101", "`sigma` is missing"):
        NoiseOfItems.from_caffe(_moments(mu=1.0))


def _moments(**parameters):
    from tests.layers.harness import _fields

    assert layer_from("Noise").bias == 0
    return _fields("LayerParameter", {"noise_param": parameters})
