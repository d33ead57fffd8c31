import pytest
import torch

from netc.layers._labels import bounded
from netc.layers.accuracy import Accuracy
from netc.layers.cross_entropy import InfogainLoss, SoftmaxWithLoss
from netc.layers.losses import HingeLoss, MultinomialLogisticLoss
from tests.layers.harness import module_of


def test_bounds_hold_values_but_not_gradients():
    x = torch.tensor([-3.0, 0.5, 7.0, torch.inf, torch.nan], requires_grad=True)
    y = bounded(x, -1, 2)
    torch.testing.assert_close(y, torch.tensor([-1.0, 0.5, 2.0, 2.0, torch.nan]), equal_nan=True)
    y[:4].sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]))


@pytest.mark.gpu
@pytest.mark.parametrize(
    "layer", [SoftmaxWithLoss(ignore_label=255), InfogainLoss(), HingeLoss(), MultinomialLogisticLoss(), Accuracy()]
)
def test_a_label_out_of_range_on_a_gpu_is_reported_later(layer):
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    bottoms = [torch.rand(3, 5), torch.tensor([1.0, 7.0, 4.0])] + [torch.eye(5)] * isinstance(layer, InfogainLoss)
    module = module_of(layer, tuple(tuple(b.shape) for b in bottoms)).cuda()
    assert torch.isfinite(module(*(b.cuda() for b in bottoms)))
    assert module.fault().diagnostics[0].message == "label outside 0 to 4: 7"
    bottoms[1][1] = 2
    module(*(b.cuda() for b in bottoms))
    assert module.fault() is None
