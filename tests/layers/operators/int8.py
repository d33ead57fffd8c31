"""Int8 operators, run on arrays of uint8 with their scales and zero points."""

from __future__ import annotations

from typing import Any

import numpy as np

from netc.ir.layer import Layer
from netc.ir.quantization import Quantization
from tests.layers.operators.single import computed, described, tensors_of

X, W, B = Quantization(0.03125, 120), Quantization(0.015625, 130), Quantization(0.00048828125, 0)


def layer_of(type: str, *sources: Quantization | None, y: Quantization, outputs: int = 1, **arguments: Any) -> Layer:
    """The layer of an operator whose output has the scale and zero point `y`."""
    arguments |= {"Y_scale": y.scale, "Y_zero_point": y.zero_point}
    return described(type, len(sources), outputs, **arguments).quantized_by(sources)


def run(
    type: str, *inputs: tuple[np.ndarray, Quantization | None], y: Quantization, outputs: int = 1, **arguments: Any
) -> Any:
    """The only output as an array, or all of them."""
    layer = layer_of(type, *(source for _, source in inputs), y=y, outputs=outputs, **arguments)
    tops = [top.numpy() for top in computed(layer, tensors_of([array for array, _ in inputs]), outputs)]
    return tops[0] if outputs == 1 else tops


def integers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def reals_of(array: np.ndarray, source: Quantization) -> np.ndarray:
    return (array.astype(np.int64) - source.zero_point) * source.scale


def check_nearest(found: np.ndarray, exact: np.ndarray, y: Quantization, lowest: int = 0) -> None:
    """Each integer is the nearest to a real number, or the bound beyond which that is; halves may be either."""
    assert found.dtype == np.uint8
    assert found.shape == exact.shape
    places = np.clip(exact / y.scale + y.zero_point, lowest, 255)
    np.testing.assert_array_less(np.abs(found - places), 0.5 + 1e-3)
    inner = ((places > lowest) & (places < 255)).mean()
    assert inner > 0.3, "too few numbers within bounds to be a test"
