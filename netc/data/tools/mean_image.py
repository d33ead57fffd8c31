"""The mean image of a database, as Caffe's compute_image_mean computes it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netc.data.pipeline.parallel_map import read_in_parallel
from netc.data.sources.database import DatumRecords, open_records
from netc.data.tools.progress import Progress, no_progress
from netc.diagnostics import NetcError
from netc.weights import write_blob

if TYPE_CHECKING:
    from pathlib import Path

    from netc.data.pipeline.mean import Mean
    from netc.data.records import Record


class MeanImage(NamedTuple):
    """The mean of the images of a database."""

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
    database: Path | str,
    out: Path | str | None = None,
    *,
    skip_bad: bool = False,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> MeanImage:
    """The mean of all images of a database, written to the .binaryproto file `out` if given.

    Sums are float32, in the order of the records, so that results equal Caffe's (`compute_image_mean.cpp`). Images
    are decoded as they are. Raises NetcError E501, E502 for the database, E503, E504 for a record (`skip_bad` skips
    it), E505 for images of different sizes, E408 if `out` cannot be written.
    """
    with contextlib.closing(open_records(database)) as records:
        result = _mean(records, skip_bad, threads, progress)
    if out is not None:
        write_blob(out, result.mean[None])
    return result


def _mean(records: DatumRecords, skip_bad: bool, threads: int | None, progress: Progress) -> MeanImage:
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
        raise NetcError(f"database `{records.name}` has no readable record among {total}", code="E502")
    return MeanImage(sums / np.float32(added), added, skipped)


def _check(records: DatumRecords, index: int, record: Record, sums: Mean) -> None:
    if record.image.shape != sums.shape:
        found, first = ("x".join(map(str, shape)) for shape in (record.image.shape, sums.shape))
        raise NetcError(
            f"{records.describe(index)} is {found}, but those before it are {first}: a mean requires one size",
            code="E505",
            help="create the database with `--resize-height` and `--resize-width`",
        )
