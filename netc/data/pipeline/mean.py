"""The mean that a transform subtracts, from a file or as values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from netc.diagnostics import NetcError, counted
from netc.weights import read_blob

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from netc.paths import ResolvePath

Mean = npt.NDArray[np.float32]


class TransformParameters(Protocol):
    """Caffe's TransformationParameter as a value."""

    @property
    def scale(self) -> float: ...
    @property
    def mirror(self) -> bool: ...
    @property
    def crop_size(self) -> int: ...
    @property
    def mean_file(self) -> str | None: ...
    @property
    def mean_value(self) -> Sequence[float]: ...
    @property
    def force_color(self) -> bool: ...
    @property
    def force_gray(self) -> bool: ...


def load_mean(transform: TransformParameters, channels: int, resolve: ResolvePath) -> Mean | None:
    """The mean to subtract: the image of a mean file (c, h, w), or values (c, 1, 1) or (1, 1, 1); None without a mean.

    Raises NetcError E505 if the number of values does not agree with `channels`, E401 to E406 (see netc.weights) for a
    mean file that cannot be read.
    """
    if transform.mean_file:
        return read_mean(resolve(transform.mean_file), transform.mean_file)
    if not transform.mean_value:
        return None
    if len(transform.mean_value) not in (1, channels):
        raise NetcError(
            f"{counted(len(transform.mean_value), 'value')} of `mean_value` for {counted(channels, 'channel')}: "
            f"expected {' or '.join(map(str, sorted({1, channels})))}",
            code="E505",
            field="transform_param.mean_value",
        )
    return np.array(transform.mean_value, np.float32).reshape(-1, 1, 1)


def read_mean(path: Path, name: str) -> Mean:
    """The mean image (c, h, w) of a .binaryproto file, or the mean clip (c, frames, h, w) with the axes of its planes
    joined. Raises NetcError E505 if it holds anything else.
    """
    try:
        blob = read_blob(path)
    except NetcError as error:
        raise NetcError(replace(d, field="transform_param.mean_file") for d in error.diagnostics) from None
    shape = blob.shape[1:] if blob.ndim in (4, 5) and len(blob) == 1 else blob.shape
    if blob.ndim == 5 and len(shape) == 4:
        shape = (shape[0] * shape[1], *shape[2:])
    if len(shape) != 3:
        raise NetcError(
            f"mean file `{name}` holds an array of shape {'x'.join(map(str, blob.shape))}, not an image",
            code="E505",
            field="transform_param.mean_file",
        )
    return np.ascontiguousarray(blob.reshape(shape), np.float32)


def window_mean(transform: TransformParameters, channels: int, resolve: ResolvePath) -> Mean | None:
    """The mean of windows: the center of a mean image, located by its width (`window_data_layer.cpp`)."""
    if not transform.mean_file:
        return load_mean(transform, channels, resolve)
    mean, size = read_mean(resolve(transform.mean_file), transform.mean_file), transform.crop_size
    offset = (mean.shape[2] - size) // 2
    middle = mean[:, offset : offset + size, offset : offset + size] if offset >= 0 else mean
    if middle.shape[1:] != (size, size):
        raise NetcError(
            f"mean file `{transform.mean_file}` is {mean.shape[1]}x{mean.shape[2]}: too small for a crop of {size}",
            code="E505",
            field="transform_param.mean_file",
        )
    return middle
