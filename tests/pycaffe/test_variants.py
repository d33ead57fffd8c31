"""Variants of every layer in nets of their own, forward and backward, against Caffe's loops in float64.

The formulas of `caffe_formulas` give the tops; their derivatives are taken numerically. Each net runs at two sizes:
node by node, where gradients of weights add up, and as straight-line code, which autograd goes back through.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import netc
import netc.pycaffe as caffe
from tests.pycaffe.variants import CASES

CASE = pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: CASES[number].name)
SIZES = (0, 1)
STEP = 1e-5


@pytest.fixture(autouse=True)
def _on_the_cpu():
    caffe.set_mode_cpu()


def listed(tops):
    return [np.asarray(top, float) for top in (tops if isinstance(tops, (tuple, list)) else (tops,))]


def slopes(function, arguments, index):
    """The derivative of a number by one of its arguments, by central differences."""
    found = np.zeros(arguments[index].shape)
    for place in np.ndindex(*found.shape):
        moved = [argument.copy() for argument in arguments]
        moved[index][place] += STEP
        up = function(moved)
        moved[index][place] -= 2 * STEP
        found[place] = (up - function(moved)) / (2 * STEP)
    return found


def blobs_of(net):
    """Values for the layer's blobs, away from 0 as BatchNorm's are."""
    random = np.random.default_rng(5)
    return [random.uniform(0.3, 1.3, blob.shape) for blob in net.params.get("layer", ())]


@cache
def expected(number, size, shapes):
    """The bottoms; and what should come of them: the tops, the diffs to start from, and the gradients, by argument."""
    case, random = CASES[number], np.random.default_rng(5)
    blobs = [random.uniform(0.3, 1.3, shape).astype(np.float32).astype(float) for shape in shapes]
    bottoms = case.bottoms(size, size)
    arguments = [*(bottom.astype(float) for bottom in bottoms), *blobs]
    tops, random = listed(case.formula(*arguments)), np.random.default_rng(9)
    diffs = [np.zeros(t.shape) if i in case.no_diff else random.normal(size=t.shape) for i, t in enumerate(tops)]

    def total(changed):
        return sum((top * diff).sum() for top, diff in zip(listed(case.formula(*changed)), diffs))

    wanted = [] if case.forward_only else [i for i in range(len(arguments)) if i not in case.still]
    return bottoms, tops, diffs, {index: slopes(total, arguments, index) for index in wanted}


def close(got, want, name, rtol=2e-4):
    slack = 2e-5 + 2e-5 * float(np.abs(want).max(initial=0))
    assert got.shape == want.shape, name
    np.testing.assert_allclose(got, want, rtol=rtol, atol=slack, err_msg=name)


def prepared(number, folder):
    """The net of a case, its weights, and their shapes."""
    case, path = CASES[number], folder / "net.prototxt"
    path.write_text(case.net())
    net = caffe.Net(str(path), case.phase)
    values = blobs_of(net)
    for blob, value in zip(net.params.get("layer", ()), values):
        blob.data[...] = value
    return net, values, tuple(value.shape for value in values)


@CASE
def test_node_by_node(number, tmp_path):
    net, values, shapes = prepared(number, tmp_path)
    sums = [np.zeros(value.shape) for value in values]
    for size in SIZES:
        bottoms, tops, diffs, gradients = expected(number, size, shapes)
        for i, array in enumerate(bottoms):
            net.blobs[f"b{i}"].reshape(*array.shape)
            net.blobs[f"b{i}"].data[...] = array
        net.forward()
        for i, (top, diff) in enumerate(zip(tops, diffs)):
            close(net.blobs[f"t{i}"].data, top, f"top {i}, size {size}")
            net.blobs[f"t{i}"].diff[...] = diff
        if gradients:
            net.backward()
        for index, gradient in gradients.items():
            if index < len(bottoms):
                close(net.blobs[f"b{index}"].diff, gradient, f"gradient of bottom {index}, size {size}", 1e-3)
                continue
            blob = index - len(bottoms)
            sums[blob] += gradient
            close(net.params["layer"][blob].diff, sums[blob], f"gradients of blob {blob} to size {size}", 1e-3)


@CASE
def test_straight_line(number, tmp_path):
    case = CASES[number]
    _, values, shapes = prepared(number, tmp_path)
    net = netc.load(str(tmp_path / "net.prototxt"), phase="train" if case.phase == caffe.TRAIN else "test")
    net.train(case.phase == caffe.TRAIN)
    for mine, value in zip(net.blobs, values):
        mine.data.copy_(torch.from_numpy(value))
    for size in SIZES:
        bottoms, tops, diffs, gradients = expected(number, size, shapes)
        inputs = [torch.from_numpy(array).requires_grad_(i in gradients) for i, array in enumerate(bottoms)]
        found = net.evaluate({f"b{i}": x for i, x in enumerate(inputs)}, [f"t{i}" for i in range(case.tops)])
        for i, top in enumerate(tops):
            close(found[f"t{i}"].detach().numpy(), top, f"top {i}, size {size}")
        if not gradients:
            continue
        parts = [top * torch.from_numpy(diff).float() for top, diff in zip(found.values(), diffs) if top.requires_grad]
        wanted = [*(i for i in range(len(inputs)) if i in gradients)]
        taken = torch.autograd.grad(sum(part.sum() for part in parts), [inputs[i] for i in wanted]) if wanted else ()
        for index, gradient in zip(wanted, taken):
            close(gradient.numpy(), gradients[index], f"gradient of bottom {index}, size {size}", 1e-3)
