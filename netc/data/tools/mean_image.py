"""The mean image of a database or of an image list, as Caffe's compute_image_mean computes it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netc.data.pipeline.parallel_map import read_in_parallel
from netc.data.sources.image_list import ImageListRecords
from netc.data.sources.opening import open_records
from netc.data.tools.progress import Progress, no_progress
from netc.diagnostics import NetcError
from netc.files import open_regular
from netc.ir.image_size import ImageSize
from netc.weights import write_blob

if TYPE_CHECKING:
    from netc.data.pipeline.mean import Mean
    from netc.data.records import Record
    from netc.data.sources.database import DatumRecords


@dataclass(frozen=True)
class ListedImages:
    """How the images of a list are read; the parameters of an ImageData layer."""

    root_folder: str = ""
    """Prefix of each path."""
    new_height: int = 0
    """Resize to this height and width; 0 keeps the size."""
    new_width: int = 0
    is_color: bool = True
    """Three channels, or one."""
    source: str = ""
    """The list."""

    @property
    def size(self) -> ImageSize:
        """How images are resized."""
        return ImageSize(self.new_height, self.new_width)


class MeanImage(NamedTuple):
    """The mean of images."""

    mean: Mean
    """Planes (c, h, w)."""
    images: int
    """Number of images."""
    skipped: int
    """Records skipped because they could not be read."""

    @property
    def channels(self) -> tuple[float, ...]:
        """The mean of each channel, summed in float32 pixel by pixel, as Caffe does."""
        planes = self.mean.reshape(len(self.mean), -1)
        return tuple(float(np.cumsum(plane, dtype=np.float32)[-1] / np.float32(plane.size)) for plane in planes)


def mean_image(
    source: Path | str,
    out: Path | str | None = None,
    *,
    listed: ListedImages | None = None,
    skip_bad: bool = False,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> MeanImage:
    """The mean of all images of a database or a list, written to the .binaryproto file `out` if given.

    Sums are float32, in the order of the records, so that results equal Caffe's (`compute_image_mean.cpp`). Images of a
    database are decoded as they are, those of a list as an ImageData layer with the parameters `listed` does. Raises
    NetcError E501, E502, E506 for the source, E503, E504 for a record (`skip_bad` skips it), E505 for images of
    different sizes, E512 for a database with `listed`, E408 if `out` cannot be written.
    """
    with contextlib.closing(_records(source, listed)) as records:
        result = _mean(records, skip_bad, threads, progress)
    if out is not None:
        write_blob(out, result.mean[None])
    return result


def _records(source: Path | str, listed: ListedImages | None) -> DatumRecords | ImageListRecords:
    if listed is not None and (listed.new_height > 0) != (listed.new_width > 0):
        raise NetcError(f"height {listed.new_height} and width {listed.new_width} must be given together", code="E512")
    if is_list(Path(source)):
        return ImageListRecords(replace(listed or ListedImages(), source=str(source)), Path)
    if listed is not None:
        raise NetcError(f"`{source}` is not an image list: its images are read as they are", code="E512")
    return open_records(source)


def is_list(path: Path) -> bool:
    """Whether a path is a text file, as image lists are; an LMDB may be a file too."""
    try:
        with open_regular(path) as file:
            return b"\0" not in file.read(4096)
    except OSError:
        return False


def _mean(
    records: DatumRecords | ImageListRecords, skip_bad: bool, threads: int | None, progress: Progress
) -> MeanImage:
    total, added, skipped = len(records), 0, 0
    sums: Mean | None = None
    for index, record in enumerate(read_in_parallel(records, total, threads)):
        progress(index + 1, total)
        if isinstance(record, NetcError):
            if not skip_bad:
                raise record
            skipped += 1
            continue
        if sums is None:
            sums = np.zeros(record.image.shape, np.float32)
        _check(records, index, record, sums)
        np.add(sums, record.image, out=sums)
        added += 1
    if sums is None:
        raise NetcError(f"`{records.name}` has no readable record among {total}", code="E502")
    return MeanImage(sums / np.float32(added), added, skipped)


def _check(records: DatumRecords | ImageListRecords, index: int, record: Record, sums: Mean) -> None:
    if record.image.shape != sums.shape:
        found, first = ("x".join(map(str, shape)) for shape in (record.image.shape, sums.shape))
        raise NetcError(
            f"{records.describe(index)} is {found}, but those before it are {first}: a mean requires one size",
            code="E505",
            help="pass `--resize-height` and `--resize-width`"
            if isinstance(records, ImageListRecords)
            else "create the database with `--resize-height` and `--resize-width`",
        )
