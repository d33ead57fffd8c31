import numpy as np
import pytest

from netc.layers.eltwise_affine import EltwiseAffine
from tests.layers.case import PLANES, Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_from, module_of

FACTS = Source(in_place=True, role="inner")
CASES = [
    Case(EltwiseAffine(), *PLANES, source=FACTS),
    Case(EltwiseAffine(channel_shared=True), *PLANES, source=FACTS),
]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5)])
def test_values_and_gradients(shared, shape):
    x, top = values(*shape).requires_grad_(), values(*shape, seed=4)
    module = module_of(EltwiseAffine(channel_shared=shared), (shape,)).double()
    y = module(x)
    y.backward(top)
    data, dy = x.detach().numpy(), top.numpy()
    factor, addend = (w.detach().numpy().reshape(-1, *[1] * (len(shape) - 2)) for w in (module.weight, module.bias))
    along = tuple(axis for axis in range(len(shape)) if shared or axis != 1)
    np.testing.assert_allclose(y.detach(), data * factor + addend)
    np.testing.assert_allclose(x.grad, dy * factor)
    np.testing.assert_allclose(module.weight.grad, (data * dy).sum(along))
    np.testing.assert_allclose(module.bias.grad, dy.sum(along))


def test_files_shapes_and_folding():
    assert round_trip(
        "EltwiseAffine", channel_shared=True, slope_filler={"type": "constant", "value": 2.0}
    ).channel_shared
    layer = layer_from("EltwiseAffine")
    assert [weight.filler.value for weight in layer.weights(((2, 3),))] == pytest.approx([1.0001, 0.0001])
    blobs = [np.array([2.0, 3]), np.array([1.0, -1])]
    factor, addend = layer.channel_affine(blobs, 4)
    assert (factor.tolist(), addend.tolist()) == ([2, 3], [1, -1])
    assert EltwiseAffine(channel_shared=True).channel_affine(blobs, 4) is None
    assert layer.cost(((2, 3),), ()).operations == 12
    with raises("E102", r"at least 2 axes, got \[3\]"):
        layer.infer(((3,),), 1)
