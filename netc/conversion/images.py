"""Pictures -> a batch, as Caffe's data layers make it in test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netc.conversion.preprocess import Preprocess, centre
from netc.data.images import Image, decode, flags, resize
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netc.passes.arrays import Array


def batch_of(paths: Iterable[str | Path], steps: Preprocess) -> Array:
    """The pictures as (n, c, h, w) float32. Raises NetcError E505 for a file that is no picture."""
    return np.stack([prepared(read(path, steps), steps) for path in paths])


def read(path: str | Path, steps: Preprocess) -> Image:
    """A picture's planes, blue first, of the size of the net's input, as bytes. Raises NetcError E505."""
    flag = flags(color=steps.order != "gray", gray=steps.order == "gray")
    try:
        picture = decode(memoryview(Path(path).read_bytes()), flag)
    except OSError as error:
        raise NetcError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()}", code="E505") from None
    except ValueError as error:
        raise NetcError(f"`{path}`: {error}", code="E505") from None
    return centre(resize(picture, steps.resize or steps.crop), steps.crop)


def prepared(picture: Image, steps: Preprocess) -> Array:
    """What the net is fed of a picture's planes: in its order, without the mean, scaled."""
    planes = picture[::-1] if steps.order == "rgb" else picture
    values: Array = planes.astype(np.float32)
    if steps.mean is not None:
        values -= centre(steps.mean, steps.crop)
    values *= np.float32(steps.scale)
    return values
