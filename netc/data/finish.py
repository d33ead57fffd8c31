"""What is left of a transform after cropping: mean, scale, mirror and the conversion to float32.

Rules from `data_transformer.cpp`, Transform. For a GPU it runs there, on the batch, so that pictures cross as bytes;
for a CPU it runs in the reader threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from netc.data.images import Image, interleaved
from netc.data.source import Array, Shape
from netc.data.transform import Mean
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


Valid = tuple[int, int, int, int]


class Finish:
    """`(x - mean) * scale` in float32, mirrored where a batch says so.

    `mean` is None, values (c, 1, 1) or (1, 1, 1), or a picture (c, h, w) of the records' size, of which each
    picture loses the part it was cropped from.
    """

    def __init__(self, scale: float = 1.0, mean: Mean | None = None) -> None:
        self.scale, self.mean = scale, mean
        self._factor = np.float32(scale)
        self.whole = mean is not None and mean.shape[1:] != (1, 1)
        self._on: dict[torch.device, Tensor] = {}
        self._spaces = threading.local()

    def check(self, shape: Shape, describe: Callable[[], str]) -> None:
        """Raises NetcError E505 for a record whose size differs from the mean picture's."""
        if self.whole and self.mean is not None and shape != self.mean.shape:
            mean, found = ("x".join(map(str, s)) for s in (self.mean.shape, shape))
            raise NetcError(
                f"{describe()} is {found}, but the mean picture is {mean}",
                code="E505",
                field="transform_param.mean_file",
            )

    def __call__(
        self,
        images: Tensor,
        mirror: npt.NDArray[np.bool_] | None = None,
        offsets: npt.NDArray[np.int64] | None = None,
        valid: npt.NDArray[np.int64] | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """The finished pictures (n, c, h, w), on the device where `images` (uint8 or float32) are, in `out` if given.

        `mirror` (n), `offsets` (n, 2) and `valid` (n, 4) are as in Batch.
        """
        import torch

        result = torch.empty(images.shape, device=images.device) if out is None else out
        result.copy_(_flip(images, mirror))
        if self.mean is not None:
            mean = self._mean(result.device)
            result.sub_(_parts(mean, mirror, offsets, result.shape) if self.whole else mean)
        if self.scale != 1:
            result.mul_(self.scale)
        return result if valid is None else result.mul_(_mask(valid, result))

    def host(self, target: Array, image: Image, mirror: bool, offset: tuple[int, int], valid: Valid | None) -> None:
        """The same for one picture (c, h, w), without torch: `target` is its place in a float32 batch."""
        image = self._arranged(image, mirror)
        if self.mean is None and self.scale != 1:
            np.multiply(image, self._factor, out=target)
        else:
            np.copyto(target, image)
        if self.mean is not None:
            np.subtract(target, self._part(offset, target.shape, mirror) if self.whole else self.mean, out=target)
            if self.scale != 1:
                np.multiply(target, self._factor, out=target)
        if valid is not None:
            top, left, bottom, right = valid
            target[:, :top], target[:, bottom:], target[:, :, :left], target[:, :, right:] = 0, 0, 0, 0

    def _part(self, offset: tuple[int, int], shape: Shape, mirror: bool) -> Mean:
        """The part of the mean picture under a crop, mirrored with it."""
        assert self.mean is not None
        (y, x), (h, w) = offset, shape[1:]
        part = self.mean[:, y : y + h, x : x + w]
        return part[:, :, ::-1] if mirror else part

    def _arranged(self, image: Image, mirror: bool) -> Image:
        """The picture with its planes apart, mirrored or not: a strided copy would be many times slower.

        Each call to OpenCV and NumPy hands the interpreter's lock over, so there are as few as can be.
        """
        apart = not interleaved(image)
        if apart and not mirror:
            return image
        import cv2

        planes, each = self._space(image)
        if apart:
            for target, plane in zip(each, image):
                cv2.flip(plane, 1, target)
            return planes
        picture = image.transpose(1, 2, 0)
        cv2.split(cv2.flip(picture, 1) if mirror else picture, each)
        return planes

    def _space(self, image: Image) -> tuple[Image, list[Image]]:
        """An array like this picture, and its planes, each thread's own and used again.

        Fresh memory costs more than filling it.
        """
        space: tuple[Image, list[Image]] | None = getattr(self._spaces, "planes", None)
        if space is None or space[0].shape != image.shape or space[0].dtype != image.dtype:
            planes = np.empty(image.shape, image.dtype)
            self._spaces.planes = space = planes, list(planes)
        return space

    def _mean(self, device: torch.device) -> Tensor:
        import torch

        if device not in self._on:
            self._on[device] = torch.as_tensor(self.mean, device=device)
        return self._on[device]


def _flip(images: Tensor, mirror: Array | None) -> Tensor:
    """Some pictures flipped left to right; a GPU is not asked which."""
    import torch

    if mirror is None or not mirror.any():
        return images
    if mirror.all():
        return images.flip(3)
    mask = torch.from_numpy(mirror).to(images.device, non_blocking=True)
    return torch.where(mask[:, None, None, None], images.flip(3), images)


def _parts(mean: Tensor, mirror: Array | None, offsets: Array | None, shape: Shape) -> Tensor:
    """The part of the mean under each crop, mirrored with it: (n, c, h, w), or (c, h, w) where all are alike."""
    import torch

    assert offsets is not None
    h, w = shape[2:]
    flipped = np.zeros(len(offsets), bool) if mirror is None else mirror
    if (offsets == offsets[0]).all() and (flipped == flipped[0]).all():
        y, x = map(int, offsets[0])
        part = mean[:, y : y + h, x : x + w]
        return part.flip(2) if flipped[0] else part
    rows = offsets[:, :1] + np.arange(h)
    columns = offsets[:, 1:] + np.arange(w)
    columns = np.where(flipped[:, None], columns[:, ::-1], columns)
    ys, xs = (torch.from_numpy(places).to(mean.device, non_blocking=True) for places in (rows, columns))
    return mean[:, ys[:, :, None], xs[:, None, :]].movedim(0, 1)


def _mask(valid: Array, result: Tensor) -> Tensor:
    """1 where a picture is, 0 in the padding (n, 1, h, w)."""
    import torch

    top, left, bottom, right = torch.from_numpy(valid).to(result.device)[:, :, None].unbind(1)
    y, x = (torch.arange(extent, device=result.device) for extent in result.shape[2:])
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
    return (rows[:, :, None] & columns[:, None, :])[:, None].to(result.dtype)
