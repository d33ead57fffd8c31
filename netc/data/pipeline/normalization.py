"""The last part of a transform: mirror, mean, scale and the conversion to float32.

Rules from `data_transformer.cpp`, Transform. On a GPU it runs on the whole batch, so that images are
transferred as bytes; on a CPU it runs in the reader threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from netc.diagnostics import NetcError
from netc.ir.dims import differ

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

    from netc.data.batch import Array, Shape
    from netc.data.pipeline.mean import Mean


class CropPlacement(NamedTuple):
    """How an image was cropped into its batch."""

    offset: tuple[int, int]
    """Row and column in the record of the crop's first pixel."""
    mirror: bool = False
    valid: tuple[int, int, int, int] | None = None
    """Top, left, bottom, right of the image within padding, which becomes 0; None without padding."""


class Normalization:
    """`(x - mean) * scale` in float32, mirrored as the batch specifies.

    `mean` is None, values (c, 1, 1) or (1, 1, 1), or an image (c, h, w) of the records' size, of which the
    part under each crop is subtracted. `per_pixel` marks a mean as an image regardless of its size: a file may
    contain a single pixel, which is not a value for all pixels.
    """

    def __init__(self, scale: float = 1.0, mean: Mean | None = None, per_pixel: bool = False) -> None:
        self.scale, self.mean = scale, mean
        self._factor = np.float32(scale)
        self.per_pixel = mean is not None and (per_pixel or mean.shape[1:] != (1, 1))
        self._on: dict[torch.device, Tensor] = {}

    def fits(self, shape: Shape) -> bool:
        """Whether a record (c, h, w) may have the shape of the mean image, if there is one; extents may be unknown."""
        return not self.per_pixel or self.mean is None or not differ(shape, self.mean.shape)

    def check(self, shape: Shape, describe: Callable[[], str]) -> None:
        """Raises NetcError E505 for a record whose shape differs from that of the mean image."""
        if not self.fits(shape):
            assert self.mean is not None
            mean, found = ("x".join(map(str, s)) for s in (self.mean.shape, shape))
            raise NetcError(
                f"{describe()} is {found}, but the mean image is {mean}",
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
        """The normalized images (n, c, h, w), on the device of `images` (uint8 or float32), in `out` if given.

        `mirror` (n), `offsets` (n, 2) and `valid` (n, 4) are as in Batch.
        """
        import torch

        result = torch.empty(images.shape, device=images.device) if out is None else out
        result.copy_(_flip(images, mirror))
        if self.mean is not None:
            mean = self._mean(result.device)
            result.sub_(_parts(mean, mirror, offsets, result.shape) if self.per_pixel else mean)
        if self.scale != 1:
            result.mul_(self.scale)
        return result if valid is None else result.mul_(_mask(valid, result))

    def host(self, target: Array, images: Array, places: Sequence[CropPlacement]) -> None:
        """As `__call__` without torch, for images (n, c, h, w) that are already mirrored; `target` is float32."""
        if self.mean is None and self.scale != 1:
            np.multiply(images, self._factor, out=target)
        else:
            np.copyto(target, images)
        if self.mean is not None:
            self._subtract(target, places)
            if self.scale != 1:
                np.multiply(target, self._factor, out=target)
        for i, place in enumerate(places):
            if place.valid is not None:
                image, (top, left, bottom, right) = target[i], place.valid
                image[:, :top], image[:, bottom:], image[:, :, :left], image[:, :, right:] = 0, 0, 0, 0

    def _subtract(self, target: Array, places: Sequence[CropPlacement]) -> None:
        """Subtract the mean; of a mean image the part under each crop."""
        assert self.mean is not None
        if not self.per_pixel:
            np.subtract(target, self.mean, out=target)
        elif places.count(places[0]) == len(places):
            np.subtract(target, self._part(places[0], target.shape), out=target)
        else:
            for image, place in zip(target, places):
                np.subtract(image, self._part(place, target.shape), out=image)

    def _part(self, place: CropPlacement, shape: Shape) -> Mean:
        """The part of the mean image that is under a crop, mirrored with it."""
        assert self.mean is not None
        (y, x), (h, w) = place.offset, shape[2:]
        part = self.mean[:, y : y + h, x : x + w]
        return part[:, :, ::-1] if place.mirror else part

    def _mean(self, device: torch.device) -> Tensor:
        import torch

        if device not in self._on:
            # A copy: torch warns about read-only arrays, such as those of a file.
            self._on[device] = torch.tensor(self.mean, device=device)
        return self._on[device]


def _flip(images: Tensor, mirror: Array | None) -> Tensor:
    """Some images flipped horizontally, without synchronization with a GPU."""
    import torch

    if mirror is None or not mirror.any():
        return images
    if mirror.all():
        return images.flip(3)
    mask = torch.from_numpy(mirror).to(images.device, non_blocking=True)
    return torch.where(mask[:, None, None, None], images.flip(3), images)


def _parts(mean: Tensor, mirror: Array | None, offsets: Array | None, shape: Shape) -> Tensor:
    """The part of the mean under each crop, mirrored with it: (n, c, h, w), or (c, h, w) if all are equal."""
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
    """1 inside the image, 0 in the padding (n, 1, h, w)."""
    import torch

    top, left, bottom, right = torch.from_numpy(valid).to(result.device)[:, :, None].unbind(1)
    y, x = (torch.arange(extent, device=result.device) for extent in result.shape[2:])
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
    return (rows[:, :, None] & columns[:, None, :])[:, None].to(result.dtype)
