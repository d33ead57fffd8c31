"""FlowAugmentation, compared with a transcription of FlowNet2's kernel, and with the images that it belongs to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.optical_flow.flow_augmentation import FlowAugmentation
from tests.layers.case import Case, Source
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import layer_from, run
from tests.layers.optical_flow.augmentations import array, flow_augmented

CASES = [
    Case(
        FlowAugmentation(3, 4),
        ((2, 2, 5, 6), (2, 42, 1, 1), (2, 42, 1, 1)),
        ((3, 2, 7, 5), (3, 42, 1, 1), (3, 42, 1, 1)),
        source=Source(places_lost=True, own_gradient="none: the layer has no backward pass"),
    ),
]
REQUIRED = {"FlowAugmentation": "crop_width: 1 crop_height: 1"}


def transformed(seed):
    generator = np.random.default_rng(seed)
    return array(
        *(
            {
                "mirror": float(index % 2),
                "angle": generator.normal() * 0.3,
                "dx": generator.normal() * 0.1,
                "dy": generator.normal() * 0.1,
                "zoom_x": np.exp(generator.normal() * 0.2),
                "zoom_y": np.exp(generator.normal() * 0.2),
                "gamma": 2.0,
            }
            for index in range(3)
        )
    )


@pytest.mark.parametrize("seed", range(4))
def test_flow(seed):
    flow = 2 * values(3, 2, 7, 9, seed=seed).numpy()
    flow[1, 0, 2] = np.nan
    first, second = transformed(seed), transformed(seed + 9)
    (found,) = run(round_trip("FlowAugmentation", crop_width=5, crop_height=4), flow, first, second)
    np.testing.assert_allclose(found, flow_augmented(flow, first, second, 4, 5), rtol=1e-9, atol=1e-9)


def test_the_center_of_a_flow():
    flow, none = values(1, 2, 6, 8).numpy(), np.zeros((1, 42, 1, 1))
    (found,) = run(FlowAugmentation(4, 2), flow, none, none)
    np.testing.assert_allclose(found, flow[:, :, 2:4, 2:6], rtol=1e-9, atol=1e-12)


def test_an_image_mirrored_after_the_first_moves_across():
    flow, none = np.zeros((1, 2, 4, 6)), np.zeros((1, 42, 1, 1))
    (found,) = run(FlowAugmentation(6, 4), flow, none, array({"mirror": 1.0}))
    np.testing.assert_allclose(found[0, 0], np.broadcast_to(6 - 2 * np.arange(6.0), (4, 6)), atol=1e-12)


def test_shapes():
    layer = FlowAugmentation(5, 4)
    assert layer.infer(((2, 2, UNKNOWN, 9), (2, 42, 1, 1), (UNKNOWN, 42, 1, 1)), 1) == ((2, 2, 4, 5),)
    for bottoms, text in (
        (((2, 3, 8, 9), (2, 42, 1, 1), (2, 42, 1, 1)), "a flow has 2 channels, got 3"),
        (((2, 2, 8, 9), (2, 42, 1, 1), (2, 6, 1, 1)), "expects coefficients of augmentation"),
        (((2, 2, 8), (2, 42, 1, 1), (2, 42, 1, 1)), "4 axes"),
    ):
        with raises("E102", text):
            layer.infer(bottoms, 1)
    with raises("E101", "`crop_height` is missing"):
        layer_from("FlowAugmentation", crop_width=3)


def test_sizes_and_devices():
    coefficients = values(2, 42, 1, 1)
    layer = FlowAugmentation(5, 4)
    one, other = coefficients[:1], coefficients
    resizes(layer, (values(1, 2, 7, 9), one, one), (values(2, 2, 8, 6), other, other))
    bottoms = tuple(torch.empty(shape, device="meta") for shape in ((1, 2, 7, 9), (1, 42, 1, 1), (1, 42, 1, 1)))
    assert layer.forward(bottoms, (), None).shape == (1, 2, 4, 5)


@pytest.mark.slow
def test_tracing():
    traces(FlowAugmentation(5, 4), values(2, 2, 7, 9), values(2, 42, 1, 1), values(2, 42, 1, 1, seed=5))
