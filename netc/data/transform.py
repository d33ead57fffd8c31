"""The part of a transform that reader threads do: where to crop, what to mirror, which mean to read.

Rules from `data_transformer.cpp`: crops are random in the TRAIN phase and centred (rounded down) otherwise; `mirror` flips
every other picture at random in both phases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from netc.diagnostics import NetcError
from netc.schema import caffe

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
    def mean_file(self) -> str: ...
    @property
    def mean_value(self) -> Sequence[float]: ...
    @property
    def force_color(self) -> bool: ...
    @property
    def force_gray(self) -> bool: ...


@dataclass(frozen=True)
class Crop:
    """Where pictures are cropped, and whether some are mirrored."""

    size: int = 0
    """Height and width of the crop; 0 takes the whole picture."""
    random: bool = False
    mirror: bool = False

    def offset(self, height: int, width: int, draw: npt.NDArray[np.uint64]) -> tuple[int, int]:
        """Row and column of the crop's first pixel, from a record's draws.

        >>> Crop(4).offset(9, 6, np.zeros(4, np.uint64))
        (2, 1)
        """
        if not self.size:
            return 0, 0
        if self.random:
            return int(draw[0]) % (height - self.size + 1), int(draw[1]) % (width - self.size + 1)
        return (height - self.size) // 2, (width - self.size) // 2

    def extents(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what is taken of a picture."""
        return (self.size, self.size) if self.size else (height, width)

    def mirrored(self, draws: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_] | None:
        """Which of a batch's pictures are flipped, None where none can be."""
        return (draws[:, 2] & np.uint64(1)).astype(bool) if self.mirror else None


def mean_of(transform: TransformParameters, channels: int, resolve: ResolvePath) -> Mean | None:
    """What is subtracted: a picture (c, h, w), or values (c, 1, 1) or (1, 1, 1); None for nothing.

    Raises NetcError E501 for a file that cannot be read, E505 where values or channels do not fit the source.
    """
    if transform.mean_file and transform.mean_value:
        raise NetcError("`mean_file` and `mean_value` exclude each other", code="E505", field="mean_value")
    if transform.mean_file:
        return read_mean(resolve(transform.mean_file), transform.mean_file)
    if not transform.mean_value:
        return None
    if len(transform.mean_value) not in (1, channels):
        raise NetcError(
            f"{len(transform.mean_value)} values of `mean_value` for {channels} channels: give 1 or as many as channels",
            code="E505",
            field="mean_value",
        )
    return np.array(transform.mean_value, np.float32).reshape(-1, 1, 1)


def read_mean(path: Path, name: str) -> Mean:
    """The mean picture (c, h, w) of a .binaryproto file. Raises NetcError E501 for a file that holds none."""
    try:
        blob = caffe.BlobProto.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no BlobProto"
        raise NetcError(f"mean file `{name}`: {reason}", code="E501", field="mean_file") from None
    values = np.array(blob.data if len(blob.data) else blob.double_data, np.float32)
    shape = tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)
    shape = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    if len(shape) != 3 or not values.size or int(np.prod(shape)) != values.size:
        raise NetcError(
            f"mean file `{name}` holds {values.size} values of shape {list(shape)}, not one picture",
            code="E501",
            field="mean_file",
        )
    return values.reshape(shape)
