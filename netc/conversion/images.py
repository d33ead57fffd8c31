"""Images -> a batch, as Caffe's data layers make it in the TEST phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netc.conversion.preprocess import Preprocess, center_crop
from netc.data.images import LARGEST, Image, decode, flags, resize
from netc.diagnostics import NetcError
from netc.files import read_bytes, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from netc.passes.arrays import Array


def batch_of(paths: Iterable[str | Path], steps: Preprocess) -> Array:
    """Return images as (n, c, h, w) float32. Raises NetcError E505 for a file that is not an image."""
    return np.stack([prepared(read(path, steps), steps) for path in paths])


def read(path: str | Path, steps: Preprocess) -> Image:
    """Read the planes of an image, blue first, in the size of the net's input, as bytes. Raises NetcError E505."""
    try:
        return center_crop(resize(read_planes(path, steps), steps.resize or steps.crop), steps.crop)
    except ValueError as error:
        raise NetcError(f"`{path}`: {error}", code="E505") from None


def read_planes(path: str | Path, steps: Preprocess) -> Image:
    """Read the planes of an image, blue first, in its own size, as bytes. Raises NetcError E505."""
    flag = flags(color=steps.order != "gray", gray=steps.order == "gray")
    try:
        return decode(memoryview(read_bytes(path, LARGEST)), flag)
    except OSError as error:
        raise NetcError(f"cannot read `{path}`: {reason_of(error)}", code="E505") from None
    except ValueError as error:
        raise NetcError(f"`{path}`: {error}", code="E505") from None


def prepared(image: Image, steps: Preprocess) -> Array:
    """Return the input of the net from the planes of an image: reordered, mean subtracted, scaled."""
    planes = image[::-1] if steps.order == "rgb" else image
    values: Array = planes.astype(np.float32)
    if steps.mean is not None:
        values -= center_crop(steps.mean, steps.crop)
    values *= np.float32(steps.scale)
    return values
