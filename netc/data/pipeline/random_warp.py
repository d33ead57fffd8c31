"""Random warping of images: `multiscale` of Chenglong Chen's Caffe (`data_transformer.cpp`, `opencv_util.cpp`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from netc.data.image_header import check_size
from netc.data.images import planes
from netc.data.pipeline.sampling import AUGMENT, generator

if TYPE_CHECKING:
    from netc.data.records import Record
    from netc.ir.augmentation import RandomWarp

CvImage = npt.NDArray[Any]
"""Height, width, channels: OpenCV's order."""
MODES = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4)
CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
"""The corners of an image as fractions of its sides: x and y."""
UNFLIPPED = 2
"""-1 flips both axes, 0 the rows, 1 the columns."""


@dataclass(frozen=True)
class DrawnWarp:
    """The random numbers of an image."""

    flip: int
    factors: tuple[float, float]
    """Factors of the height and of the width."""
    offset: tuple[int, int]
    """Row and column of the part, or of the image in the padding: modulo what is cut off or added."""
    shear: tuple[float, float]
    """Shearing of the rows by columns, and of the columns by rows."""
    angle: float
    """Degrees."""
    corners: CvImage
    """The four points (x, y) that become the corners, as fractions of the sides."""
    mode: int
    """Interpolation of OpenCV."""


def drawn(settings: RandomWarp, random: np.random.Generator) -> DrawnWarp:
    """Return the random numbers of an image."""
    low, high = settings.min_scaling_factor, settings.max_scaling_factor
    factors = random.uniform(low, high, 2)
    shear = settings.max_shearing_ratio * random.uniform(-1, 1, 2)
    turns = math.ceil(random.uniform(0, 360) / settings.angle_interval + 0.5)
    moved = settings.max_perspective_ratio * random.uniform(-1, 1, (4, 2))
    y, x = random.integers(1 << 32, size=2).tolist()
    return DrawnWarp(
        flip=int(random.integers(-1, UNFLIPPED + 1)),
        factors=(float(factors[0]), float(factors[1])),
        offset=(y, x),
        shear=(float(shear[0]), float(shear[1])),
        angle=settings.angle_interval * turns,
        corners=CORNERS + moved.astype(np.float32),
        mode=MODES[int(random.integers(len(MODES)))],
    )


class RandomWarper:
    """Warps images to the size that the net expects."""

    active = True

    def __init__(self, settings: RandomWarp, size: int) -> None:
        self._settings, self._size = settings, size

    def record(self, record: Record, seed: int, number: int) -> Record:
        """The record with its image warped. Raises ValueError for an image that OpenCV cannot warp."""
        random = np.random.Generator(generator(seed, AUGMENT, number << 64))
        image = np.ascontiguousarray(record.image.transpose(1, 2, 0))
        numbers = drawn(self._settings, random)
        try:
            image = flipped(image, numbers.flip)
            image = self._filtered(image, random)
            image = warped(placed(image, numbers, self._settings.warp_fillval), numbers, self._settings, self._size)
        except cv2.error as error:
            raise ValueError(f"OpenCV cannot warp it: {error.err}") from None
        return record._replace(image=planes(image))

    def _filtered(self, image: CvImage, random: np.random.Generator) -> CvImage:
        """The steps that change values only, each for half of the images."""
        settings = self._settings
        if settings.smooth_filtering and random.integers(2):
            image = smoothed(image, int(random.integers(4)))
        if settings.contrast_adjustment and random.integers(2):
            factor, added = random.uniform(0.8, 1.2), int(random.integers(6)) * (-1) ** int(random.integers(2))
            image = np.rint(image * factor + added).clip(0, 255).astype(image.dtype)
        if settings.jpeg_compression and random.integers(2):
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(95, 101))]
            compressed: Any = cv2.imencode(".jpg", np.ascontiguousarray(image), quality)[1]
            decoded: Any = cv2.imdecode(compressed, cv2.IMREAD_UNCHANGED)
            image = decoded
        return image


def flipped(image: CvImage, flip: int) -> CvImage:
    """Return an image with its rows, columns or both in reverse order."""
    rows, columns = flip in (0, -1), flip in (1, -1)
    return image[:: -1 if rows else 1, :: -1 if columns else 1]


def smoothed(image: CvImage, kind: int) -> CvImage:
    """Return an image after a filter of 3x3 pixels: the sum, the mean, a Gaussian or the median."""
    image = np.ascontiguousarray(image)
    if kind < 2:
        return cv2.boxFilter(image, -1, (3, 3), normalize=kind == 1, borderType=cv2.BORDER_REPLICATE)
    if kind == 2:
        return cv2.GaussianBlur(image, (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
    return cv2.medianBlur(image, 3)


def placed(image: CvImage, numbers: DrawnWarp, fill: float) -> CvImage:
    """Return a part of an image along the axes that grow, padded along those that shrink."""
    image = image if image.ndim == 3 else image[..., None]
    extents = [int(extent / factor) for extent, factor in zip(image.shape, numbers.factors)]
    check_size(*extents)
    for axis, (extent, offset) in enumerate(zip(extents, numbers.offset)):
        rest = image.shape[axis] - extent
        start = offset % abs(rest) if rest else 0
        if rest > 0:
            image = image.take(range(start, start + extent), axis)
        elif rest < 0:
            widths = [(0, 0)] * 3
            widths[axis] = (start, -rest - start)
            value = np.array(fill).round().clip(0, 255).astype(image.dtype)
            image = np.pad(image, widths, constant_values=value)
    return image


def matrix(size: tuple[int, int], side: int, numbers: DrawnWarp) -> CvImage:
    """Return the matrix from pixels of an image of `size` to those of the result: shear, resize, rotate, distort."""
    height, width = size
    by_column, by_row = numbers.shear
    scale_x = side / (width + int(abs(height * by_row)))
    scale_y = side / (height + int(abs(width * by_column)))
    angle = -math.radians(numbers.angle)
    c, s, center = math.cos(angle), math.sin(angle), side / 2
    rotate = np.array([[c, s, (1 - c) * center - s * center], [-s, c, s * center + (1 - c) * center], [0, 0, 1]])
    shear = np.array([[1, by_row, 0], [by_column, 1, 0], [0, 0, 1]])
    corners = np.float32(side) * CORNERS
    distort = cv2.getPerspectiveTransform(np.float32(side) * numbers.corners, corners)
    found: CvImage = distort @ rotate @ np.diag((scale_x, scale_y, 1)) @ shear
    return found.astype(np.float32)


def warped(image: CvImage, numbers: DrawnWarp, settings: RandomWarp, side: int) -> CvImage:
    """Return an image of `side` pixels a side; those beyond the image have the value of the padding."""
    image = np.ascontiguousarray(image)
    moved = matrix((image.shape[0], image.shape[1]), side, numbers)
    fill = (settings.warp_fillval,) * 4
    return cv2.warpPerspective(
        image, moved, (side, side), flags=numbers.mode, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )
