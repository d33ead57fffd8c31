"""Resizes images as Caffe's `caffe.io.resize_image` does.

Images of one and three channels: as scikit-image's `resize(mode="constant")` of Caffe's time (0.9 to 0.14), of the
image scaled to [0, 1]. Pixels have their centers at half-integers, what lies outside the image is its minimum, and
downsampling does not blur. The orders are nearest neighbor, linear, quadratic (Lagrange) and cubic (Catmull-Rom).

Other images: as SciPy's `ndimage.zoom`. The first and last pixels of each axis stay the first and last; the orders
above 1 are splines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import NetcError
from netc.extras import import_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]

ORDERS = (0, 1, 2, 3)


def resize_image(im: Array, new_dims: Sequence[int], interp_order: int = 1) -> NDArray[np.float32]:
    """Return an image (h, w, k) or (h, w) resized to `new_dims` (height, width), float32.

    `interp_order` is 0 (nearest), 1 (linear), 2 (quadratic) or 3 (cubic). Raises NetcError E307 for any other, and E633
    without SciPy (extra `resize`) for orders above 1 of images of 2, or of more than 3 channels.
    """
    if interp_order not in ORDERS:
        raise NetcError(f"unknown interpolation order {interp_order}: expected 0, 1, 2 or 3", code="E307")
    image = np.asarray(im)
    if image.ndim == 2:
        return resize_image(image[:, :, np.newaxis], new_dims, interp_order)[:, :, 0]
    height, width = (int(extent) for extent in new_dims)
    if image.shape[2] not in (1, 3):
        return np.asarray(_zoomed(image, (height, width), interp_order), np.float32)
    low, high = image.min(), image.max()
    if not high > low:
        return np.full((height, width, image.shape[2]), low, np.float32)
    span = high - low
    scaled = np.asarray((image - low) / span, float)
    for axis, extent in enumerate((height, width)):
        scaled = _along(scaled, axis, _centers(image.shape[axis], extent), interp_order)
    return np.asarray(np.clip(scaled, 0, 1) * span + low, np.float32)


def _centers(old: int, new: int) -> Array:
    """The positions of the new pixels among the old ones, of centers at half-integers."""
    return (np.arange(new) + 0.5) * (old / new) - 0.5


def _corners(old: int, new: int) -> Array:
    """The positions of the new pixels among the old ones, of which the first and the last stay."""
    return np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)


def _zoomed(image: Array, size: tuple[int, int], order: int) -> Array:
    if order > 1:
        ndimage = import_extra("scipy.ndimage", "resize", f"resizing an image of {image.shape[2]} channels by splines")
        factors = (size[0] / image.shape[0], size[1] / image.shape[1], 1)
        zoomed: Array = ndimage.zoom(np.asarray(image, float), factors, order=order)
        return zoomed
    result = np.asarray(image, float)
    for axis, extent in enumerate(size):
        result = _along(result, axis, _corners(image.shape[axis], extent), order)
    return result


def _along(image: Array, axis: int, places: Array, order: int) -> Array:
    """Interpolate along one axis at `places`; what lies outside the image is 0."""
    extent = image.shape[axis]
    broadcast = [1, 1, 1]
    broadcast[axis] = len(places)
    total: Array = np.zeros(1)
    for index, weight in _taps(places, order):
        inside = (index >= 0) & (index < extent)
        part = np.take(image, np.clip(index, 0, extent - 1), axis)
        total = total + part * np.where(inside, weight, 0.0).reshape(broadcast)
    return total


def _taps(places: Array, order: int) -> list[tuple[Array, Array]]:
    """Indices and weights of the pixels from which the values at `places` are interpolated.

    Reference: `skimage/_shared/interpolation.pxd`.
    """
    if order in (0, 2):
        nearest = np.trunc(places + np.where(places > 0, 0.5, -0.5)).astype(int)
        x = places - nearest
        weights = [x * (x - 1) / 2, 1 - x * x, x * (x + 1) / 2] if order else [np.ones_like(x)]
        return [(nearest + i - len(weights) // 2, weight) for i, weight in enumerate(weights)]
    first = np.floor(places).astype(int)
    x = places - first
    if order == 1:
        return [(first, 1 - x), (first + 1, x)]
    weights = [
        ((2 - x) * x - 1) * x / 2,
        (3 * x - 5) * x * x / 2 + 1,
        ((4 - 3 * x) * x + 1) * x / 2,
        (x - 1) * x * x / 2,
    ]
    return [(first + i - 1, weight) for i, weight in enumerate(weights)]
