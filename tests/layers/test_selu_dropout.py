import pytest
import torch

from netc.layers.selu_dropout import SeLUDropout, SeLuDropout
from tests.layers.case import Source, alike
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of

FACTS = Source(in_place=True, role="inner")
CASES = [alike("SeLuDropout", 0.3, source=FACTS), alike("SeLUDropout", 0.2, -1.5, source=FACTS)]


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.6])
def test_values_and_gradients(ratio):
    x = values(300, 300).requires_grad_()
    module = module_of(SeLuDropout(ratio), (x.shape,)).train()
    y = module(x)
    y.sum().backward()
    alpha, q = -1.75809934, 1 - ratio
    a = (q * (1 + alpha**2 * (1 - q))) ** -0.5
    b = -a * (1 - q) * alpha
    kept = x.grad != 0
    torch.testing.assert_close(y, torch.where(kept, a * x + b, a * alpha + b))
    assert kept.double().mean().item() == pytest.approx(q, abs=0.01)
    assert x.grad[kept].unique().tolist() == [pytest.approx(a)]
    assert y.mean().item() == pytest.approx(0, abs=0.02)
    assert y.var().item() == pytest.approx(1, abs=0.02)
    assert module.eval()(x) is x


def test_files():
    assert round_trip("SeLuDropout", dropout_ratio=0.05, alpha=-1.0) == SeLuDropout(0.05, -1)
    assert round_trip("SeLUDropout", dropout_ratio=0.5) == SeLUDropout(0.5)
    assert SeLuDropout().cost(((2, 3),), ()).operations == 18
    with raises("E103", "`dropout_ratio` is 1"):
        layer_of("SeLuDropout", {"selu_dropout_param": {"dropout_ratio": 1.0}})
