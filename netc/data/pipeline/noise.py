"""SSD's noise, done with OpenCV as it does it; see netc/ir/noise.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from netc.ir.noise import Noise, SaltPepper

Picture = npt.NDArray[Any]
"""Height, width, channels: OpenCV's order."""
POSTERS = 64
"""Values that become one."""


def noised(picture: Picture, wanted: Noise, random: np.random.Generator) -> Picture:
    """The picture after each step that is asked for. Raises ValueError for pixels or channels that it cannot take."""
    import cv2

    channels = 1 if picture.ndim == 2 else picture.shape[2]
    if picture.dtype != np.uint8 or channels not in (1, 3) or (channels == 1 and wanted.needs_colour):
        raise ValueError("noise needs bytes, and three channels for colours")
    if wanted.decolorize:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if wanted.gauss_blur:
        picture = cv2.GaussianBlur(picture, (7, 7), 1.5)
    if wanted.hist_eq:
        picture = _on_luma(picture, cv2.equalizeHist)
    if wanted.clahe:
        picture = _on_luma(picture, cv2.createCLAHE(4.0).apply)
    if wanted.jpeg > 0:
        picture = _through_jpeg(picture, int(wanted.jpeg))
    if wanted.erode:
        picture = cv2.erode(picture, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    picture = _remapped(picture, wanted)
    if wanted.saltpepper:
        _salt(picture, wanted.saltpepper_param, random)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2HSV) if wanted.convert_to_hsv else picture


def _remapped(picture: Picture, wanted: Noise) -> Picture:
    """Fewer values, then the inverse: a copy in any case, which may be written into."""
    if wanted.posterize:
        picture = picture // POSTERS * POSTERS + POSTERS // 2
    return ~picture if wanted.inverse else picture.copy()


def _on_luma(picture: Picture, change: Any) -> Picture:
    """A function of one plane on a grey picture, or on the luma of a coloured one."""
    import cv2

    if picture.ndim == 2 or picture.shape[2] == 1:
        return np.asarray(change(picture)).reshape(picture.shape)
    planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb)
    planes[:, :, 0] = change(np.ascontiguousarray(planes[:, :, 0]))
    return cv2.cvtColor(planes, cv2.COLOR_YCrCb2BGR)


def _through_jpeg(picture: Picture, quality: int) -> Picture:
    import cv2

    packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED)).reshape(picture.shape)


def _salt(picture: Picture, wanted: SaltPepper, random: np.random.Generator) -> None:
    """Overwrite a share of the pixels, drawn one by one."""
    height, width = picture.shape[:2]
    channels = picture.size // (height * width)
    if len(wanted.value) not in (1, channels):
        raise ValueError(f"{len(wanted.value)} values of `saltpepper_param` for {channels} channels")
    count = int(np.float32(wanted.fraction) * np.float32(width) * np.float32(height))
    columns, rows = random.integers(width, size=count), random.integers(height, size=count)
    picture.reshape(height, width, channels)[rows, columns] = np.array(wanted.value).astype(np.uint8)
