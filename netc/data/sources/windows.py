"""WindowData: windows of images around objects and background, for training R-CNN (`window_data_layer.cpp`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from netc.data import images
from netc.data.pipeline.sampling import Numbers, Sampler, draws
from netc.data.records import Record, UnbatchedRecords
from netc.data.sources.window_file import FIELD, WindowFile, read_windows
from netc.diagnostics import NetcError
from netc.files import reason_of

if TYPE_CHECKING:
    from netc.data.batch import Shape
    from netc.data.pipeline.mean import TransformParameters
    from netc.paths import ResolvePath


class WindowParameters(Protocol):
    """The parameters of a layer that describe its windows."""

    @property
    def source(self) -> str: ...
    @property
    def root_folder(self) -> str: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def fg_threshold(self) -> float: ...
    @property
    def bg_threshold(self) -> float: ...
    @property
    def fg_fraction(self) -> float: ...
    @property
    def context_pad(self) -> int: ...
    @property
    def crop_mode(self) -> str: ...
    @property
    def cache_images(self) -> bool: ...
    @property
    def transform(self) -> TransformParameters: ...


@dataclass
class WindowSampler(Sampler):
    """Draws windows at random for each batch: first background, then foreground.

    An index is twice the window's number, plus one where it is mirrored; background windows are numbered first.
    """

    background: int = 0
    foreground: int = 0
    share: int = 0
    """Foreground windows in a batch."""
    mirror: bool = False

    def indices(self, numbers: Numbers) -> Numbers:
        """The windows of batches, the last axis."""
        drawn = draws(self.seed, numbers.ravel()).reshape(*numbers.shape, 4)
        low = numbers.shape[-1] - self.share
        chosen = np.empty(numbers.shape, np.int64)
        chosen[..., :low] = drawn[..., :low, 0] % np.uint64(max(1, self.background))
        chosen[..., low:] = drawn[..., low:, 0] % np.uint64(max(1, self.foreground)) + np.uint64(self.background)
        return chosen * 2 + ((drawn[..., 1] & np.uint64(1)).astype(np.int64) if self.mirror else 0)


class WindowRecords(UnbatchedRecords):
    """The windows of a window file, scaled to the crop; see `Records`.

    Raises NetcError E501, E502, E506 as `read_windows` does, E505 for a context that fills the crop, and E509 for an
    `fg_fraction` outside 0 to 1.
    """

    def __init__(self, parameters: WindowParameters, resolve: ResolvePath) -> None:
        self.name, self._parameters, self._resolve = parameters.source, parameters, resolve
        _check(parameters)
        self._path = resolve(parameters.source)
        self.file: WindowFile = read_windows(self._path, self.name, parameters.fg_threshold, parameters.bg_threshold)
        self._flag = images.flags(True, False)
        self._cache: dict[int, bytes] = {}

    def sampler(self, sampler: Sampler) -> WindowSampler:
        """The sampler of batches. Raises NetcError E509 if the file lacks windows that a batch needs."""
        p, file = self._parameters, self.file
        share = int(np.float32(p.batch_size) * np.float32(p.fg_fraction))
        for kind, count, needed in (
            ("foreground", len(file.foreground), share),
            ("background", len(file.background), p.batch_size - share),
        ):
            if needed and not count:
                raise NetcError(
                    f"`{self.name}` has no {kind} windows, but a batch needs {needed}",
                    code="E509",
                    field=FIELD,
                    notes=[f"`fg_threshold` is {p.fg_threshold:g}, `bg_threshold` {p.bg_threshold:g}"],
                )
        return WindowSampler(
            seed=sampler.seed,
            rank=sampler.rank,
            world_size=sampler.world_size,
            background=len(file.background),
            foreground=len(file.foreground),
            share=share,
            mirror=p.transform.mirror,
        )

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """Planes of a window, always in color whatever the file says about its image, and a label, a scalar."""
        size = self._parameters.transform.crop_size
        return (3, size, size), ()

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """A random order of all windows."""
        return random.permutation(len(self.file.background) + len(self.file.foreground)) * 2

    def describe(self, index: int) -> str:
        """The window, for a message."""
        image, _, *corners = self._window(index)
        return f"window {' '.join(map(str, corners))} of `{self._name(image)}`"

    def next_index(self, index: int) -> int:
        """The next window of its kind."""
        low = len(self.file.background)
        number, mirrored = divmod(index, 2)
        following = (number + 1) % low if number < low else low + (number + 1 - low) % len(self.file.foreground)
        return following * 2 + mirrored

    def close(self) -> None:
        """Drop cached images."""
        self._cache = {}

    def _window(self, index: int) -> list[int]:
        number, background = index // 2, self.file.background
        rows = background if number < len(background) else self.file.foreground
        return rows[number if number < len(background) else number - len(background)].tolist()  # type: ignore[no-any-return]

    def _name(self, image: int) -> str:
        return self._parameters.root_folder + self.file.images[image].path

    def _image(self, number: int) -> Any:
        data = self._cache.get(number)
        if data is None:
            name = self._name(number)
            data = images.read(path for path in (Path(name), self._path.parent / name, self._resolve(name)))
            if self._parameters.cache_images:
                self._cache[number] = data
        return images.decode(memoryview(data), self._flag).transpose(1, 2, 0)

    def read(self, index: int) -> Record:
        """A window, scaled. Raises NetcError E504 for an image that cannot be read, E509 for a window outside it."""
        number, label, *corners = self._window(index)
        p = self._parameters
        size = p.transform.crop_size
        try:
            image = self._image(number)
        except (OSError, ValueError) as error:
            raise NetcError(f"{self.describe(index)}: {reason_of(error)}", code="E504", field=FIELD) from None
        try:
            place = place_window(Corners(*corners), image.shape[:2], size, p.context_pad, p.crop_mode == "square")
        except ValueError as error:
            raise NetcError(f"{self.describe(index)}: {error}", code="E509", field=FIELD) from None
        return Record(*_warped(image, place, size, bool(index % 2), label))


def _check(parameters: WindowParameters) -> None:
    size, context, fraction = parameters.transform.crop_size, parameters.context_pad, parameters.fg_fraction
    if 2 * context >= size:
        raise NetcError(
            f"`context_pad` {context} on both sides fills the `crop_size` {size}: it must be less than half of it",
            code="E505",
            field="window_data_param.context_pad",
        )
    if not 0 <= fraction <= 1:
        raise NetcError(
            f"`fg_fraction` {fraction:g} must be from 0 to 1",
            code="E509",
            field="window_data_param.fg_fraction",
        )


class Corners(NamedTuple):
    """The first and the last pixel of a window, both inside it."""

    x1: int
    y1: int
    x2: int
    y2: int


class WindowPlacement(NamedTuple):
    """The pixels to scale, their new size, and the padding around them."""

    corners: Corners
    height: int
    width: int
    top: int
    left: int
    right: int


def place_window(corners: Corners, image: tuple[int, int], size: int, context: int, square: bool) -> WindowPlacement:
    """How a window is scaled to a crop of `size`, in Caffe's float32 and with its rounding.

    With `context` pixels around it, or as a `square`, it may extend beyond the image: that part is padding. Raises
    ValueError for a window that is empty, or lies outside the image without its context.
    """
    height, width = image
    if not (context or square):
        if not (0 <= corners.x1 <= corners.x2 < width and 0 <= corners.y1 <= corners.y2 < height):
            raise ValueError(f"it is not inside an image of {height}x{width}")
        return WindowPlacement(corners, size, size, 0, 0, 0)
    wide = _widened(corners, size, context, square)
    left, top = max(0, -wide.x1), max(0, -wide.y1)
    right, bottom = max(0, wide.x2 - width + 1), max(0, wide.y2 - height + 1)
    inside = Corners(wide.x1 + left, wide.y1 + top, wide.x2 - right, wide.y2 - bottom)
    if inside.x1 > inside.x2 or inside.y1 > inside.y2:
        raise ValueError(f"it is empty, or outside an image of {height}x{width}")
    scale_x, scale_y = (np.float32(size) / np.float32(b - a + 1) for a, b in ((wide.x1, wide.x2), (wide.y1, wide.y2)))
    return WindowPlacement(
        inside,
        _rounded(np.float32(inside.y2 - inside.y1 + 1) * scale_y),
        _rounded(np.float32(inside.x2 - inside.x1 + 1) * scale_x),
        _rounded(np.float32(top) * scale_y),
        _rounded(np.float32(left) * scale_x),
        _rounded(np.float32(right) * scale_x),
    )


def _widened(corners: Corners, size: int, context: int, square: bool) -> Corners:
    """The window enlarged so that `context` pixels of the crop on each side are context."""
    x1, y1, x2, y2 = corners
    scale = np.float32(size) / np.float32(size - 2 * context)
    half_height, half_width = np.float32(y2 - y1 + 1) / np.float32(2), np.float32(x2 - x1 + 1) / np.float32(2)
    center_x, center_y = np.float32(x1) + half_width, np.float32(y1) + half_height
    if square:
        half_height = half_width = max(half_height, half_width)
    return Corners(
        _rounded(center_x - half_width * scale),
        _rounded(center_y - half_height * scale),
        _rounded(center_x + half_width * scale),
        _rounded(center_y + half_height * scale),
    )


def _rounded(value: Any) -> int:
    """The nearest integer, halves away from zero, as in C."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))


def _warped(image: Any, place: WindowPlacement, size: int, mirror: bool, label: int) -> tuple[Any, int, Any]:
    import cv2

    left = place.right if mirror else place.left
    height, width = min(place.height, size - place.top), min(place.width, size - left)
    crop = np.zeros((size, size, image.shape[2]), np.uint8)
    if height > 0 and width > 0:
        x1, y1, x2, y2 = place.corners
        warped = cv2.resize(image[y1 : y2 + 1, x1 : x2 + 1], (width, height), interpolation=cv2.INTER_LINEAR)
        crop[place.top : place.top + height, left : left + width] = cv2.flip(warped, 1) if mirror else warped
    return images.planes(crop), label, (place.top, left, place.top + max(0, height), left + max(0, width))
