import numpy as np
import pytest
import torch

from netc.layers import jmmd_loss
from netc.layers.jmmd_loss import JmmdLoss
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of, shapes_of

REQUIRED = {"JMMDLoss": "sigma: 1"}
CASES = [
    Case(
        JmmdLoss(3, 1.5, sigma=1.3),
        ((4, 3, 2), (5, 6), (4, 3), (5, 3)),
        ((3, 2), (2, 2), (3, 4), (2, 4)),
        source=Source(own_gradient="of an estimate from random pairs; the top is 0", rounded=(0, 1, 2, 3)),
    )
]


def transcription(bottoms, pairs, layer, gamma, sigma):
    """The gradients by the loop of the layer's code."""
    (xs, xt, ys, yt), gradients = bottoms, [np.zeros_like(bottom) for bottom in bottoms]
    x, y = (xs, xt), (ys, yt)
    for (s, s2), (t, t2) in pairs:
        for (d1, i), (d2, j), sign in (
            ((0, s), (0, s2), 1),
            ((0, s), (1, t2), -1),
            ((1, t), (0, s2), -1),
            ((1, t), (1, t2), 1),
        ):
            dx, dy = x[d1][i] - x[d2][j], y[d1][i] - y[d2][j]
            delta = sum(
                np.exp(-(dy @ dy) / (sigma * layer.label_kernel_mul ** (k - layer.label_kernel_num // 2)))
                for k in range(layer.label_kernel_num)
            )
            scales = [gamma * layer.kernel_mul ** (k - layer.kernel_num // 2) for k in range(layer.kernel_num)]
            of_x = sum(-2 * g * np.exp(-g * (dx @ dx)) * delta for g in scales) * sign / len(pairs)
            of_y = -2 / sigma * sum(np.exp(-g * (dx @ dx)) for g in scales) * delta * sign / len(pairs)
            gradients[d1][i] += of_x * dx
            gradients[d2][j] -= of_x * dx
            gradients[2 + d1][i] += of_y * dy
            gradients[2 + d2][j] -= of_y * dy
    return gradients


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize("kernels", [1, 3])
def test_gradients(monkeypatch, auto, kernels):
    layer = JmmdLoss(4, 1.7, label_kernel_num=kernels, label_kernel_mul=1.5, sigma=0.9, auto_sigma=auto)
    bottoms = [values(*shape, seed=i).requires_grad_() for i, shape in enumerate(((3, 4), (4, 4), (3, 2), (4, 2)))]
    drawn = {
        3: [[0, 1, 2, 1], [2, 0, 1, 2]],
        4: [[3, 1, 0, 2], [0, 2, 1, 3]],
        7: [[0, 4, 6, 1, 2, 5, 3], [1, 5, 0, 6, 3, 4, 2]],
    }
    monkeypatch.setattr(jmmd_loss, "pair_indices", lambda items, count, device: torch.tensor(drawn[items])[:, :count])
    top = module_of(layer, shapes_of(bottoms)).train()(*bottoms)
    assert top.item() == 0
    (3 * top).backward()
    arrays = [bottom.detach().numpy() for bottom in bottoms]
    items = np.concatenate(arrays[:2])
    gamma = (49 - 7) / ((items[:, None] - items[None]) ** 2).sum()
    labels, (one, other) = np.concatenate(arrays[2:]), drawn[7]
    sigma = ((labels[one] - labels[other]) ** 2).sum(1).mean() if auto else 0.9
    pairs = list(zip(zip(*drawn[3]), zip(*drawn[4])))
    for bottom, expected in zip(bottoms, transcription(arrays, pairs, layer, gamma, sigma)):
        np.testing.assert_allclose(bottom.grad, 3 * expected, rtol=1e-9, atol=1e-12)


def test_a_domain_of_one_item_has_no_gradient():
    bottoms = [values(*shape).requires_grad_() for shape in ((1, 3), (4, 3), (1, 2), (4, 2))]
    module_of(JmmdLoss(sigma=1.0), shapes_of(bottoms))(*bottoms).backward()
    assert not any(bottom.grad.any() for bottom in bottoms)


def test_files_and_sizes():
    assert round_trip("JMMDLoss", kernel_num=3, sigma=1.68, label_kernel_num=2) == JmmdLoss(
        3, sigma=1.68, label_kernel_num=2
    )
    assert JmmdLoss(sigma=1.0).cost(((2, 3), (4, 3), (2, 5), (4, 5)), ((),)).operations == 3 * 36 * 3 + 12 * 4 * 5
    with raises("E101", "`sigma` must be positive"):
        layer_of("JMMDLoss", {"jmmd_param": {"kernel_num": 5}})
    layer = JmmdLoss(sigma=1.0)
    with raises("E102", r"label probabilities \[3,5\] for items \[2,3\]"):
        layer.infer(((2, 3), (4, 3), (3, 5), (4, 5)), 1)
    with raises("E102", "different sizes"):
        layer.infer(((2, 3), (4, 3), (2, 5), (4, 6)), 1)
