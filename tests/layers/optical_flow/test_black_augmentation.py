"""BlackAugmentation: items that do not move, borders, and how often each occurs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.optical_flow._coefficients import RandomNumber
from netc.layers.optical_flow.black_augmentation import BlackAugmentation
from tests.layers.case import Case, Source
from tests.layers.contract import raises, resizes, values
from tests.layers.harness import gradcheck, layer_from, run

CASES = [
    Case(
        BlackAugmentation(),
        ((2, 3, 4, 5), (2, 2, 4, 5)),
        ((3, 3, 5, 4), (3, 2, 5, 4)),
        tops=2,
        source=Source(in_place=True),
    ),
]
WHOLE = {
    f"black_augmentation_param.{name}": {"black_augmentation_param": {name: {"mean": 0.5}}}
    for name in ("black", "border")
}
ALWAYS = RandomNumber("bernoulli")


def bottoms(count=2, h=8, w=10):
    return tuple(values(count, channels, h, w, seed=seed).numpy() for seed, channels in enumerate((3, 2, 3)))


def test_items_that_do_not_move():
    first, flow, last = bottoms()
    layer = layer_from("BlackAugmentation", black={"rand_type": "bernoulli"}, border={"mean": 0.3})
    assert layer == BlackAugmentation(ALWAYS, RandomNumber(mean=0.3))
    found = run(layer, first, flow, last, tops=3)
    for top, expected in zip(found, (last, 0 * flow, last)):
        np.testing.assert_array_equal(top, expected)
    np.testing.assert_array_equal(run(layer, flow)[0], 0 * flow)


def test_some_items_do_not_move():
    first, flow, last = bottoms(500, 1, 1)
    torch.manual_seed(2)
    found = run(BlackAugmentation(RandomNumber("bernoulli", prob=0.2)), first, flow, last, tops=3)
    still = (found[1] == 0).all((1, 2, 3))
    assert abs(still.mean() - 0.2) < 0.06
    np.testing.assert_array_equal(found[0], np.where(still[:, None, None, None], last, first))
    np.testing.assert_array_equal(found[1], np.where(still[:, None, None, None], 0, flow))
    np.testing.assert_array_equal(found[2], last)


def test_borders():
    first, flow, last = bottoms(600)
    torch.manual_seed(2)
    found = run(BlackAugmentation(border=RandomNumber(mean=0.26)), first, flow, last, tops=3)
    borders = np.zeros(3)
    for index in range(600):
        kept = np.zeros((3, 8, 10), bool)
        kept[0, :, 2:8] = kept[1, 2:6] = kept[2, 2:6, 2:8] = True
        matches = [
            all(
                np.array_equal(top[index], np.where(one, bottom[index], 0))
                for top, bottom in zip(found, (first, flow, last))
            )
            for one in kept
        ]
        assert sum(matches) == 1
        borders += matches
    assert (abs(borders / 600 - 1 / 3) < 0.06).all()


@pytest.mark.parametrize(
    "border", [RandomNumber(), RandomNumber(mean=0.05), RandomNumber("uniform_bernoulli", prob=0.0)]
)
def test_no_border(border):
    given = bottoms()
    for top, bottom in zip(run(BlackAugmentation(border=border), *given, tops=3), given):
        np.testing.assert_array_equal(top, bottom)


def test_gradient():
    assert gradcheck(BlackAugmentation(ALWAYS), (2, 3, 4, 5), (2, 2, 4, 5), (2, 3, 4, 5), tops=3)


def test_shapes():
    layer = BlackAugmentation()
    assert layer.infer(((2, UNKNOWN, 4, 5), (UNKNOWN, 2, 4, 5)), 2) == ((2, UNKNOWN, 4, 5), (UNKNOWN, 2, 4, 5))
    with raises("E102", "expected images with 3 channels or flows with 2, got .2,1,4,5."):
        layer.infer(((2, 3, 4, 5), (2, 1, 4, 5)), 2)
    with raises("E102", "bottoms have different sizes"):
        layer.infer(((2, 3, 4, 5), (2, 2, 4, 6)), 2)
    with raises("E103", "`prob` of `black` is 2"):
        layer_from("BlackAugmentation", black={"prob": 2.0})


def test_sizes():
    resizes(BlackAugmentation(ALWAYS), (values(1, 3, 4, 5),), (values(2, 3, 6, 7),))
