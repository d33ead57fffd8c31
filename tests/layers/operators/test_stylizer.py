"""Images before and after style transfer."""

from __future__ import annotations

import numpy as np
import torch

from netc.runtime.modules import LayerModule
from tests.layers.operators.single import described, raises, reals, run

BEFORE, AFTER = "PackedInt8BGRANHWCToNCHWCStylizerPreprocess", "BRGNCHWCToPackedInt8BGRAStylizerDeprocess"
MEAN = np.array([100.5, 20, 30], np.float32)


def image(n=2, channels=4):
    return np.random.default_rng(0).integers(0, 256, (n, 5, 6, channels)).astype(np.uint8)


def test_noise_of_the_net_is_repeated_pixel_by_pixel():
    x, noise = image(), reals(13)
    place = np.arange(5 * 6 * 3).reshape(5, 6, 3) % 11
    expected = (x[..., :3] - MEAN + noise[place]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(run(BEFORE, x, MEAN, noise, noise_size=11), expected, rtol=1e-6, atol=1e-5)
    with raises("E102", "the noise has 13 numbers"):
        run(BEFORE, x, MEAN, noise)


def test_noise_is_drawn_once():
    layer = described(BEFORE, 2, noise_size=7, noise_std=3.0)
    module = LayerModule(layer, (), 1)
    first = torch.from_numpy(image())
    tops = [module(first, torch.from_numpy(MEAN)) for _ in range(2)]
    torch.testing.assert_close(tops[0], tops[1], rtol=0, atol=0)
    noise = tops[0].numpy().transpose(0, 2, 3, 1) - (image()[..., :3] - MEAN)
    np.testing.assert_allclose(noise[0].ravel()[:77], noise[0].ravel()[7:84], atol=1e-4)
    many = run(BEFORE, np.zeros((1, 64, 64, 4), np.uint8), np.zeros(3, np.float32), noise_size=10000)
    assert abs(many.std() - 10) < 0.5
    assert abs(many.mean()) < 0.5


def test_images_after_style_transfer():
    x = 200 * reals(2, 3, 5, 6)
    found = run(AFTER, x, MEAN)
    assert found.dtype == np.uint8
    assert found.shape == (2, 5, 6, 4)
    assert (found[..., 3] == 255).all()
    expected = np.floor(np.clip(x.transpose(0, 2, 3, 1) + MEAN, 0, 255))
    np.testing.assert_array_equal(found[..., :3], expected)


def test_they_refuse():
    with raises("E107"):
        run(BEFORE, reals(1, 5, 6, 4), MEAN)
    with raises("E102", "4 channels"):
        run(BEFORE, image(channels=3), MEAN)
    with raises("E102", "the mean of 3 colors"):
        run(BEFORE, image(), reals(4))
    with raises("E102", "3 channels"):
        run(AFTER, reals(1, 4, 5, 6), MEAN)
