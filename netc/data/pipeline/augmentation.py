"""Augmentation of images before they are cropped, with OpenCV as in forks of Caffe; see netc/ir/augmentation.py.

Random numbers come from a stream of the record, so the result does not depend on the thread.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from netc.data.image_header import check_size
from netc.data.images import Image, planes
from netc.data.pipeline.noise import add_noise
from netc.data.pipeline.sampling import AUGMENT, generator
from netc.data.records import Record
from netc.diagnostics import counted
from netc.ir.augmentation import Distortion, Expansion, RandomAspectRatio, RandomResize, RandomStretch, Resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netc.ir.noise import Noise

CvImage = npt.NDArray[Any]
"""Height, width, channels: OpenCV's order."""


class AugmentedTransform(Protocol):
    """The fields of a transform that are applied here."""

    @property
    def crop(self) -> tuple[int, int]: ...
    @property
    def resize_param(self) -> Resize | None: ...
    @property
    def distort_param(self) -> Distortion | None: ...
    @property
    def expand_param(self) -> Expansion | None: ...
    @property
    def noise_param(self) -> Noise | None: ...
    @property
    def mean_value(self) -> Sequence[float]: ...
    @property
    def random_resize_param(self) -> RandomResize | None: ...
    @property
    def random_aspect_ratio_param(self) -> RandomAspectRatio | None: ...
    @property
    def stretch(self) -> RandomStretch: ...


class RecordAugmenter(Protocol):
    """Changes records before they are cropped."""

    @property
    def active(self) -> bool: ...
    def record(self, record: Record, seed: int, number: int) -> Record: ...


class Augmenter:
    """Augments images: random size or part, color distortion, expansion, resize, noise, stretch."""

    def __init__(self, transform: AugmentedTransform) -> None:
        self._transform = transform

    @property
    def active(self) -> bool:
        """Whether any step is set."""
        t = self._transform
        sizes = (t.resize_param, t.random_resize_param, t.random_aspect_ratio_param, t.expand_param)
        parts = (*sizes, t.distort_param, t.noise_param)
        return any(part is not None for part in parts) or t.stretch != RandomStretch()

    def __call__(self, image: Image, seed: int, number: int) -> Image:
        """The augmented planes (c, h, w) of a record. Raises ValueError for an image that a step cannot process."""
        return self.record(Record(image, 0), seed, number).image

    def record(self, record: Record, seed: int, number: int) -> Record:
        """The augmented record, its number over all epochs. Raises ValueError for an image as `__call__` does."""
        import cv2

        random = np.random.Generator(generator(seed, AUGMENT, number << 64))
        image = np.ascontiguousarray(record.image.transpose(1, 2, 0))
        try:
            image, label = self.parts(self._colored(image, random), record.label, random)
            image = self._resized(image, random)
        except cv2.error as error:
            raise ValueError(f"OpenCV cannot augment it: {error.err}") from None
        return record._replace(image=planes(image), label=label)

    def parts(self, image: CvImage, label: Any, random: np.random.Generator) -> tuple[CvImage, Any]:
        """The expanded image, and the label, which may depend on where the image is."""
        settings = self._transform.expand_param
        place = expansion(image.shape[:2], settings, random) if settings is not None else None
        return image if place is None else expanded(image, place, self._transform.mean_value), label

    def _colored(self, image: CvImage, random: np.random.Generator) -> CvImage:
        """The steps before the expansion."""
        t = self._transform
        if t.random_resize_param is not None:
            image = random_resize(image, t.random_resize_param, random)
        elif t.random_aspect_ratio_param is not None:
            image = random_part(image, t.random_aspect_ratio_param, t.crop[0], random)
        return image if t.distort_param is None else distort(image, t.distort_param, random)

    def _resized(self, image: CvImage, random: np.random.Generator) -> CvImage:
        """The steps after the expansion."""
        t = self._transform
        if t.resize_param is not None:
            image = resize(image, t.resize_param, random)
        if t.noise_param is not None:
            image = add_noise(image, t.noise_param, random)
        return stretch(image, t.stretch, t.crop, random)


def resize(image: CvImage, settings: Resize, random: np.random.Generator) -> CvImage:
    """Warped, covering, or fitted and padded (`im_transforms.cpp`, ApplyResize)."""
    import cv2

    modes = settings.interp_mode or ("LINEAR",)
    mode = getattr(cv2, f"INTER_{modes[int(random.integers(len(modes)))] if len(modes) > 1 else modes[0]}")
    size = image.shape[0], image.shape[1]
    if settings.resize_mode == "WARP":
        check_size(settings.height, settings.width)
        return cv2.resize(image, (settings.width, settings.height), interpolation=mode)
    if settings.resize_mode == "FIT_SMALL_SIZE":
        height, width = settings.covering(size)
        check_size(height, width)
        return cv2.resize(image, (width, height), interpolation=mode)
    check_size(settings.height, settings.width)
    height, width = settings.within(size)
    fitted = cv2.resize(image, (width, height), interpolation=mode)
    return _padded(fitted, settings, 1 if image.ndim == 2 else image.shape[2])


def _padded(image: CvImage, settings: Resize, channels: int) -> CvImage:
    """The image centered, half a pixel up or left if the padding is odd."""
    import cv2

    if len(settings.pad_value) not in (0, 1, channels):
        raise ValueError(
            f"{counted(len(settings.pad_value), 'value')} of `pad_value` for {counted(channels, 'channel')}"
        )
    values = settings.pad_value * channels if len(settings.pad_value) == 1 else settings.pad_value or (0.0,) * channels
    missing = settings.height - image.shape[0], settings.width - image.shape[1]
    top, left = missing[0] // 2, missing[1] // 2
    return cv2.copyMakeBorder(
        image, top, missing[0] - top, left, missing[1] - left, getattr(cv2, BORDERS[settings.pad_mode]), value=values
    )


BORDERS = {"CONSTANT": "BORDER_CONSTANT", "MIRRORED": "BORDER_REFLECT_101", "REPEAT_NEAREST": "BORDER_REPLICATE"}


def random_resize(image: CvImage, settings: RandomResize, random: np.random.Generator) -> CvImage:
    """Resize the shorter side to a random length (Intel's RandomResizeImage)."""
    size = image.shape[0], image.shape[1]
    low, high = settings.min_size or min(size), settings.max_size or max(size)
    extent = int(random.integers(low, max(low, high) + 1))
    return resize(image, settings.shorter(size, extent), random)


def random_part(image: CvImage, settings: RandomAspectRatio, crop: int, random: np.random.Generator) -> CvImage:
    """A part of random area and aspect ratio, resized to the crop (Intel's RandomAlterAspectRatio)."""
    h, w = image.shape[:2]
    least, most = sorted((settings.aspect_ratio_change, 1 / settings.aspect_ratio_change))
    for _ in range(settings.max_attempt):
        side = math.sqrt(random.uniform(settings.min_area_ratio, settings.max_area_ratio) * h * w)
        factor = random.uniform(least, most)
        height, width = int(side * factor), int(side / factor)
        if random.random() < 0.5:
            height, width = width, height
        if 0 < height <= h and 0 < width <= w:
            y, x = int(random.integers(h - height + 1)), int(random.integers(w - width + 1))
            return resize(image[y : y + height, x : x + width], settings.resized((crop, crop)), random)
    return resize(image, settings.shorter((h, w), crop), random)


def distort(image: CvImage, settings: Distortion, random: np.random.Generator) -> CvImage:
    """Brightness, then contrast before or after saturation and hue, then the channels (SSD's ApplyDistort)."""
    if image.dtype != np.uint8 or (settings.needs_color and (image.ndim < 3 or image.shape[2] != 3)):
        raise ValueError("color distortion needs three channels of bytes")
    contrast_first = random.random() > 0.5
    image = _brightness(image, settings, random)
    if contrast_first:
        image = _contrast(image, settings, random)
    image = _hue(_saturation(image, settings, random), settings, random)
    if not contrast_first:
        image = _contrast(image, settings, random)
    if random.random() < settings.random_order_prob:
        image = image[:, :, random.permutation(3)]
    return image


def _brightness(image: CvImage, settings: Distortion, random: np.random.Generator) -> CvImage:
    if random.random() >= settings.brightness_prob:
        return image
    return _mapped(image, 1, random.uniform(-settings.brightness_delta, settings.brightness_delta))


def _contrast(image: CvImage, settings: Distortion, random: np.random.Generator) -> CvImage:
    if random.random() >= settings.contrast_prob:
        return image
    return _mapped(image, random.uniform(settings.contrast_lower, settings.contrast_upper), 0)


def _saturation(image: CvImage, settings: Distortion, random: np.random.Generator) -> CvImage:
    if random.random() >= settings.saturation_prob:
        return image
    return _in_hsv(image, 1, random.uniform(settings.saturation_lower, settings.saturation_upper), 0)


def _hue(image: CvImage, settings: Distortion, random: np.random.Generator) -> CvImage:
    if random.random() >= settings.hue_prob:
        return image
    return _in_hsv(image, 0, 1, random.uniform(-settings.hue_delta, settings.hue_delta))


def _mapped(image: CvImage, factor: float, offset: float) -> CvImage:
    """Each byte times a factor plus an offset, rounded and clipped."""
    import cv2

    table = np.clip(np.rint(np.arange(256, dtype=np.float32) * np.float32(factor) + np.float32(offset)), 0, 255)
    return cv2.LUT(image, table.astype(np.uint8)).reshape(image.shape)


def _in_hsv(image: CvImage, channel: int, factor: float, offset: float) -> CvImage:
    """`_mapped` on hue (0) or saturation (1)."""
    import cv2

    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2HSV)
    hsv[:, :, channel] = _mapped(np.ascontiguousarray(hsv[:, :, channel]), factor, offset)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


class Placement(NamedTuple):
    """Where an image is in a larger one."""

    height: int
    """Of the larger one."""
    width: int
    top: int
    left: int


def expansion(size: tuple[int, ...], settings: Expansion, random: np.random.Generator) -> Placement | None:
    """A random position of an image in a larger one (SSD's ExpandImage); None if it is not expanded."""
    if not settings.active or random.random() >= settings.prob:
        return None
    h, w = size
    ratio = random.uniform(1, settings.max_expand_ratio)
    height, width = int(h * ratio), int(w * ratio)
    check_size(height, width)
    return Placement(height, width, int(random.integers(height - h + 1)), int(random.integers(width - w + 1)))


def expanded(image: CvImage, place: Placement, mean: Sequence[float]) -> CvImage:
    """The image in a larger one, which is filled with the mean."""
    h, w = image.shape[:2]
    fill = np.array(mean or (0.0,), np.float32)
    result = np.empty((place.height, place.width, *image.shape[2:]), image.dtype)
    result[...] = np.clip(np.rint(fill), 0, 255) if image.dtype == np.uint8 else fill
    result[place.top : place.top + h, place.left : place.left + w] = image
    return result


def stretch(image: CvImage, settings: RandomStretch, crop: tuple[int, int], random: np.random.Generator) -> CvImage:
    """A random size, never below the crop (NVIDIA's image_random_resize)."""
    import cv2

    if settings == RandomStretch():
        return image
    old = image.shape[0], image.shape[1]
    new = [max(least, round(extent)) for least, extent in zip(crop, _stretched(old, settings, random))]
    if not settings.allow_upscale:
        new = [min(a, b) for a, b in zip(new, old)]
    check_size(new[0], new[1])
    shrinks = new[0] <= old[0] and new[1] <= old[1]
    mode = settings.interpolation_algo_down if shrinks else settings.interpolation_algo_up
    same = tuple(new) == old
    return image if same else cv2.resize(image, (new[1], new[0]), interpolation=getattr(cv2, mode))


def _stretched(size: tuple[int, int], settings: RandomStretch, random: np.random.Generator) -> tuple[float, float]:
    """Height and width after the three rules of RandomStretch in turn."""
    shorter = min(size)
    if settings.img_rand_resize_lower > 0 and settings.img_rand_resize_upper > 0:
        shorter = int(random.integers(settings.img_rand_resize_lower, settings.img_rand_resize_upper + 1))
    height, width = (extent * shorter / min(size) for extent in size)
    if settings.rand_resize_ratio_lower >= 1 and settings.rand_resize_ratio_upper > 1:
        ratio = random.uniform(settings.rand_resize_ratio_lower, settings.rand_resize_ratio_upper)
        wide = width > height or (width == height and random.random() < 0.5)
        height, width = (height, height * ratio) if wide else (width * ratio, width)
    height *= random.uniform(settings.vertical_stretch_lower, settings.vertical_stretch_upper)
    return height, width * random.uniform(settings.horizontal_stretch_lower, settings.horizontal_stretch_upper)
