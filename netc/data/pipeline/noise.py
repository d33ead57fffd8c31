"""SSD's noise, with OpenCV as in SSD; see netc/ir/noise.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.diagnostics import counted

if TYPE_CHECKING:
    from netc.ir.noise import Noise, SaltPepper

CvImage = npt.NDArray[Any]
"""Height, width, channels: OpenCV's order."""
POSTERS = 64
"""Consecutive values that `posterize` maps to one."""


def add_noise(image: CvImage, settings: Noise, random: np.random.Generator) -> CvImage:
    """The image after each step that is set. Raises ValueError for unsupported pixels or channels."""
    import cv2

    channels = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype != np.uint8 or channels not in (1, 3) or (channels == 1 and settings.needs_color):
        raise ValueError("noise needs bytes, and three channels for color")
    if settings.decolorize:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if settings.gauss_blur:
        image = cv2.GaussianBlur(image, (7, 7), 1.5)
    if settings.hist_eq:
        image = _on_luma(image, cv2.equalizeHist)
    if settings.clahe:
        image = _on_luma(image, cv2.createCLAHE(4.0).apply)
    if settings.jpeg > 0:
        image = _through_jpeg(image, int(settings.jpeg))
    if settings.erode:
        image = cv2.erode(image, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    image = _remapped(image, settings)
    if settings.saltpepper:
        _salt(image, settings.saltpepper_param, random)
    return cv2.cvtColor(image, cv2.COLOR_BGR2HSV) if settings.convert_to_hsv else image


def _remapped(image: CvImage, settings: Noise) -> CvImage:
    """Posterized, then inverted; always a copy, which may be written to."""
    if settings.posterize:
        image = image // POSTERS * POSTERS + POSTERS // 2
    return ~image if settings.inverse else image.copy()


def _on_luma(image: CvImage, change: Any) -> CvImage:
    """Apply a function to a gray image, or to the luma of a color image."""
    import cv2

    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(change(image)).reshape(image.shape)
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)
    planes[:, :, 0] = change(np.ascontiguousarray(planes[:, :, 0]))
    return cv2.cvtColor(planes, cv2.COLOR_YCrCb2BGR)


def _through_jpeg(image: CvImage, quality: int) -> CvImage:
    import cv2

    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED)).reshape(image.shape)


def _salt(image: CvImage, settings: SaltPepper, random: np.random.Generator) -> None:
    """Overwrite a fraction of the pixels, chosen at random."""
    height, width = image.shape[:2]
    channels = image.size // (height * width)
    if len(settings.value) not in (1, channels):
        raise ValueError(
            f"{counted(len(settings.value), 'value')} of `saltpepper_param` for {counted(channels, 'channel')}"
        )
    count = int(np.float32(settings.fraction) * np.float32(width) * np.float32(height))
    columns, rows = random.integers(width, size=count), random.integers(height, size=count)
    image.reshape(height, width, channels)[rows, columns] = np.array(settings.value).astype(np.uint8)
