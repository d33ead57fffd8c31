"""The part of a transform that reader threads do: where to crop, what to mirror, which mean to read.

Rules from `data_transformer.cpp`: crops are random in the TRAIN phase and centred (rounded down) otherwise; `mirror`
flips every other picture, at random, in both phases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from netc.diagnostics import NetcError
from netc.weights import read_blob

Mean = npt.NDArray[np.float32]
ResolvePath = Callable[[str], Path]


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


@dataclass(frozen=True)
class Cropping:
    """Where pictures are cropped, and whether some are mirrored."""

    size: int = 0
    """Height and width of the crop; 0 takes the whole picture."""
    random: bool = False
    mirror: bool = False
    width: int = 0
    """The crop's width where it is not the height."""

    def offset(self, rows: int, columns: int, draw: Any) -> tuple[Any, Any]:
        """Row and column of the crop's first pixel, from a record's draws, where so many are left out.

        For several records `draw` is an array (4, n), and random rows and columns are arrays (n).

        >>> Cropping(4).offset(5, 2, [0, 0, 0, 0])
        (2, 1)
        """
        if self.random and self.size:
            return draw[0] % (rows + 1), draw[1] % (columns + 1)
        return rows // 2, columns // 2

    def extents(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what is taken of a picture."""
        return (self.size, self.width or self.size) if self.size else (height, width)

    def mirrored(self, draws: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_] | None:
        """Which of a batch's pictures are flipped, None where none can be."""
        return (draws[:, 2] & np.uint64(1)).astype(bool) if self.mirror else None


def mean_of(transform: TransformParameters, channels: int, resolve: ResolvePath) -> Mean | None:
    """What is subtracted: of a mean file a picture (c, h, w), else values (c, 1, 1) or (1, 1, 1); None for nothing.

    Raises NetcError E505 where values or channels do not fit the source, and E401 to E406 (see netc.weights) for a mean
    file that cannot be read.
    """
    if transform.mean_file:
        return read_mean(resolve(transform.mean_file), transform.mean_file)
    if not transform.mean_value:
        return None
    if len(transform.mean_value) not in (1, channels):
        raise NetcError(
            f"{len(transform.mean_value)} values of `mean_value` for {channels} channels: give one, or one a channel",
            code="E505",
            field="transform_param.mean_value",
        )
    return np.array(transform.mean_value, np.float32).reshape(-1, 1, 1)


def read_mean(path: Path, name: str) -> Mean:
    """The mean picture (c, h, w) of a .binaryproto file. Raises NetcError E505 where it holds something else."""
    try:
        blob = read_blob(path)
    except NetcError as error:
        raise NetcError(replace(d, field="transform_param.mean_file") for d in error.diagnostics) from None
    shape = blob.shape[1:] if blob.ndim == 4 and len(blob) == 1 else blob.shape
    if len(shape) != 3:
        raise NetcError(
            f"mean file `{name}` holds an array {'x'.join(map(str, blob.shape))}, not one picture",
            code="E505",
            field="transform_param.mean_file",
        )
    return np.ascontiguousarray(blob.reshape(shape), np.float32)
