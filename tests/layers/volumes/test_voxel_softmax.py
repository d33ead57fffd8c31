"""VoxelSoftmax and VoxelSoftmaxLoss, compared with a transcription of C3D's loops."""

from __future__ import annotations

import numpy as np
import torch

from netc.layers.volumes.voxel_softmax import VoxelSoftmax, VoxelSoftmaxLoss
from tests.layers.case import Case, Source
from tests.layers.contract import raises, values
from tests.layers.harness import module_of, run

FIRST, SECOND = (2, 3, 2, 4, 5), (1, 3, 3, 2, 2)
LABELS = (2, 1, 2, 4, 5), (1, 1, 3, 2, 2)
CASES = [
    Case(VoxelSoftmax(), (FIRST,), (SECOND,), source=Source(reads_top="values", role="score")),
    Case(VoxelSoftmaxLoss(), (FIRST, LABELS[0]), (SECOND, LABELS[1]), integers=(1,), below=3, source=Source()),
]


def test_softmax():
    x = values(*FIRST).numpy()
    expected = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(run(VoxelSoftmax(), x)[0], expected, rtol=1e-12)


def test_loss_with_labels_that_are_no_channels():
    x = values(*FIRST)
    x[0, 1, 1, 1, 1] = 200
    labels = torch.randint(0, 5, LABELS[0], generator=torch.Generator().manual_seed(2))
    labels[0, 0, 1, 1, 1] = 0
    given = x.clone().requires_grad_()
    loss = module_of(VoxelSoftmaxLoss(), (FIRST, LABELS[0])).double()(given, labels)
    (gradient,) = torch.autograd.grad(loss, given)
    probability = run(VoxelSoftmax(), x)[0]
    total, expected = 0.0, probability.copy()
    for n, t, h, w in np.ndindex(2, 2, 4, 5):
        label = int(labels[n, 0, t, h, w])
        if label < 3:
            total -= np.log(max(probability[n, label, t, h, w], float(np.finfo(np.float32).tiny)))
            expected[n, label, t, h, w] -= 1
    np.testing.assert_allclose(loss.item(), total / 80, rtol=1e-9)
    np.testing.assert_allclose(gradient.numpy(), expected / 80, rtol=1e-9, atol=1e-14)


def test_errors():
    with raises("E102", "do not fit scores"):
        VoxelSoftmaxLoss().infer((FIRST, FIRST), 1)
    with raises("E301", "label"):
        run(VoxelSoftmaxLoss(), values(*FIRST).float(), -torch.ones(LABELS[0]))
