import numpy as np
import pytest
import torch

from netc.layers.segmentation.dice_coef_loss import POWERS, DiceCoefLoss
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of, shapes_of

OWN = "n times the derivative"
MAPS = ((2, 3, 4, 5), (2, 1, 4, 5)), ((3, 3, 5, 4), (3, 1, 5, 4))
CASES = [
    Case(DiceCoefLoss(), *MAPS, integers=(1,), below=3, source=Source(own_gradient=OWN)),
    Case(
        DiceCoefLoss("MULTICLASS_WEIGHTED_BATCH", 1, contour_shape="SIMPLE"),
        *MAPS,
        integers=(1,),
        below=3,
        source=Source(own_gradient=OWN),
    ),
]


def kernel_of(shape, size):
    size = max(size, 3) + (max(size, 3) % 2 == 0)
    kernel, half = np.zeros((size, size)), size // 2
    if shape == "SIMPLE":
        kernel[:] = -1 / (size * size - 1)
        kernel[half, half] = 1
        return kernel
    total = 0.0
    for i, j in np.ndindex(size, size):
        if (i, j) != (half, half):
            kernel[i, j] = -1 / (abs(i - half) + abs(j - half) * 4)
            total += kernel[i, j]
    kernel[half + 1, half + 1] = -total
    return kernel


def contours(t, layer):
    """The weights of the contours of one item, by the loops of the layer's code."""
    kernel = kernel_of(layer.contour_shape, layer.contour_size)
    half, weights = len(kernel) // 2, np.zeros_like(t)
    for c in range(len(t)):
        seen = np.pad(1 - t[0] if c == 0 else t[c], half)
        for h, w in np.ndindex(*t.shape[1:]):
            weights[c, h, w] = abs((seen[h : h + len(kernel), w : w + len(kernel)] * kernel).sum())
        weights[c] = weights[c] * (layer.contour_amplitude - 1) + 1
        weights[c] *= weights[c].size / weights[c].sum()
    return weights


def transcription(x, t, layer, volumes=None):
    """The loss and the gradient; `volumes` replaces those of this batch."""
    n, c = x.shape[:2]
    weighted = "WEIGHTED" in layer.generalization
    smooth, w = (0.0 if weighted else 1 / n), np.ones_like(x)
    if weighted:
        found = t.sum((2, 3)) + 1
        if layer.ignore_label is not None:
            found[:, layer.ignore_label] += 1e6 * t[0, 0].size - 1
        if volumes is not None:
            found = volumes
        elif layer.generalization != "MULTICLASS_WEIGHTED":
            found = found.mean(0, keepdims=True)
        w = w * (found ** float(POWERS[layer.weight_mode]))[:, :, None, None]
    if layer.contour_shape != "NO":
        w = w * np.stack([contours(item, layer) for item in t])
    keep = np.ones((1, c, 1, 1))
    if layer.generalization == "MULTICLASS" and layer.ignore_label is not None:
        keep[:, layer.ignore_label] = 0
    total, gradient = 0.0, np.zeros_like(x)
    for i in range(n):
        squares = (x[i] ** 2 * (w[i] if weighted else 1) * keep[0]).sum() + (t[i] ** 2 * w[i] * keep[0]).sum() + smooth
        result = (2 * (x[i] * t[i] * w[i] * keep[0]).sum() + smooth) / squares
        total += result
        gradient[i] = (-2 * t[i] + 2 * result * x[i]) / squares * w[i]
    return 1 - total / n, gradient


def one_hot(labels, classes):
    return np.eye(classes)[labels[:, 0]].transpose(0, 3, 1, 2)


LAYERS = [
    DiceCoefLoss(),
    DiceCoefLoss("MULTICLASS", 1),
    DiceCoefLoss("MULTICLASS_WEIGHTED"),
    DiceCoefLoss("MULTICLASS_WEIGHTED", 0, "EQUALIZE_CLASSES"),
    DiceCoefLoss("MULTICLASS_WEIGHTED_BATCH", weight_mode="EXTRA_SMALL_VOLUMES"),
    DiceCoefLoss(contour_shape="SIMPLE", contour_amplitude=20.5),
    DiceCoefLoss("MULTICLASS_WEIGHTED", contour_shape="SHARP", contour_size=4),
]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("planes", [False, True])
def test_values_and_gradients(layer, planes):
    x = (values(2, 3, 5, 6) / 4).requires_grad_()
    labels = torch.randint(0, 3, (2, 1, 5, 6), generator=torch.Generator().manual_seed(2))
    t = one_hot(labels.numpy(), 3)
    given = torch.from_numpy(t) * 0.7 + 0.1 if planes else labels
    loss = module_of(layer, shapes_of((x, given)))(x, given)
    (3 * loss).backward()
    expected, gradient = transcription(x.detach().numpy(), t, layer)
    assert loss.item() == pytest.approx(expected)
    np.testing.assert_allclose(x.grad, 3 * gradient, rtol=1e-7, atol=1e-15)


def test_weights_of_all_batches():
    layer = DiceCoefLoss("MULTICLASS_WEIGHTED_ALL")
    module, means = module_of(layer, ((2, 3, 4, 4), (2, 1, 4, 4))).train(), []
    for seed in range(3):
        x = values(2, 3, 4, 4, seed=seed)
        labels = torch.randint(0, 3, (2, 1, 4, 4), generator=torch.Generator().manual_seed(seed))
        t = one_hot(labels.numpy(), 3)
        means.append((t.sum((2, 3)) + 1).mean(0))
        expected, _ = transcription(x.numpy(), t, layer, np.mean(means, 0, keepdims=True))
        assert module(x, labels).item() == pytest.approx(expected)


def test_files_and_shapes():
    layer = round_trip("DiceCoefLoss", generalization="MULTICLASS_WEIGHTED", ignore_label=0, contour_shape="SHARP")
    assert layer == DiceCoefLoss("MULTICLASS_WEIGHTED", 0, contour_shape="SHARP")
    assert DiceCoefLoss().cost(((2, 3), (2, 3)), ()).operations == 36
    with raises("E102", r"labels \[2,2,4\] for predictions \[2,3,4\]"):
        DiceCoefLoss().infer(((2, 3, 4), (2, 2, 4)), 1)
    with raises("E102", "expected bottoms"):
        layer.infer(((2, 3, 4), (2, 1, 4)), 1)
    with raises("E103", "`ignore_label` is 3, for classes 0 to 2"):
        DiceCoefLoss(ignore_label=3).infer(((2, 3, 4, 4), (2, 1, 4, 4)), 1)
    with raises("E104", "`contour_size` must be at most"):
        layer_of("DiceCoefLoss", {"dice_coef_loss_param": {"contour_size": 99999}})
    with raises("E301", "label outside 0 to 2: 3"):
        module_of(DiceCoefLoss(), ((1, 3, 1), (1, 1, 1)))(torch.zeros(1, 3, 1), torch.tensor([[[3.0]]]))
