"""MatRead: blobs of MATLAB files (DeepLab)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from netc.data import images
from netc.data.batch import Allocate, Array, Batch, Shape
from netc.data.matlab import read_variable
from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.records import MAX_SKIPS
from netc.diagnostics import NetcError
from netc.files import read_bytes, reason_of
from netc.ir.mat_names import mat_names

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from netc.data.pipeline.sampling import Numbers, Sampler
    from netc.paths import ResolvePath

FIELD = "mat_read_param.source"
PREFIX = "mat_read_param.prefix"
WHOLE = ("E501", "E633")
"""Codes of errors that concern the source, not one record."""


class MatParameters(Protocol):
    """The parameters of a layer that describe its files; see MatRead."""

    @property
    def prefix(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def strip(self) -> int: ...
    @property
    def batch_size(self) -> int: ...


class MatRecords:
    """The records that a list names, or those of all numbers.

    Raises NetcError E501 for a list that cannot be read, E502 for an empty one.
    """

    def __init__(self, parameters: MatParameters, tops: int, resolve: ResolvePath) -> None:
        self.parameters, self.tops, self._resolve = parameters, tops, resolve
        self.names: list[str] | None = None
        if not parameters.source:
            return
        try:
            self.names = mat_names(read_bytes(resolve(parameters.source)), parameters.strip)
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            what = f"`{parameters.source}` cannot be read: {reason_of(error)}"
            raise NetcError(what, code="E501", field=FIELD, missing=missing) from None
        if not self.names:
            raise NetcError(f"list `{parameters.source}` is empty", code="E502", field=FIELD)

    def files(self, index: int) -> list[str]:
        """The paths of a record's files."""
        name = f"iter_{index}" if self.names is None else self.names[index % len(self.names)]
        return [f"{self.parameters.prefix}{name}_blob_{top}.mat" for top in range(self.tops)]

    def read(self, index: int) -> tuple[Array, ...]:
        """The tops of a record (c, h, w). Raises NetcError E504 for a file that is missing or not such a blob."""
        return tuple(self._read(path) for path in self.files(index))

    def _read(self, path: str) -> Array:
        try:
            return _item(read_variable(images.read((Path(path), self._resolve(path))), "data"))
        except NetcError:  # SciPy is missing
            raise
        except (OSError, ValueError) as error:
            raise NetcError(f"`{path}`: {reason_of(error)}", code="E504", field=PREFIX) from None


def _item(array: Array) -> Array:
    """The planes (c, h, w) of a variable with the axes width, height, channels and items."""
    if array.dtype != np.float32:
        raise ValueError(f"`data` has {array.dtype} numbers, expected single precision")
    if array.ndim > 4 or array.shape[3:] not in ((), (1,)):
        raise ValueError(f"`data` is {'x'.join(map(str, array.shape))}, expected one item of up to 3 axes")
    if not array.size:
        raise ValueError("`data` is empty")
    return np.ascontiguousarray(array.reshape((*array.shape, 1, 1)[:3]).T)


class MatSource(PrefetchingSource["PendingRecords"]):
    """Batches of blobs; see `BatchSource`. Records have the shapes of the first one."""

    normalization = None

    def __init__(self, records: MatRecords, sampler: Sampler, threads: int, skip_bad: bool) -> None:
        self.records = records
        self.skipped: dict[str, NetcError] = {}
        self._attempts = MAX_SKIPS if skip_bad else 1
        self._shapes: tuple[Shape, ...] = ()
        self._shapes = tuple(top.shape for top in self._usable(0))
        size, name = records.parameters.batch_size, records.parameters.source or records.parameters.prefix
        super().__init__(name, sampler, size, self._shapes, prefetch=4, threads=threads)

    def configure(self, allocate: Allocate, normalize_on_host: bool) -> None:
        """See BatchSource; blobs need neither."""

    def epoch_size(self) -> int | None:
        """The number of names; None without a list."""
        return None if self.records.names is None else len(self.records.names)

    def start_batch(self, pool: Executor, position: int) -> PendingRecords:
        """Start to read the records of a batch."""
        indices = self.sampler.indices(self.sampler.numbers(position, self.batch_size))
        return PendingRecords(pool.submit(self._batch, indices))

    def _batch(self, indices: Numbers) -> tuple[Array, ...]:
        records = [self._usable(index) for index in indices.tolist()]
        return tuple(np.stack(tops) for tops in zip(*records))

    def _usable(self, index: int) -> tuple[Array, ...]:
        """A record, or with `skip_bad` the next usable one."""
        for attempt in range(1, self._attempts + 1):
            try:
                return self._checked(index)
            except NetcError as error:
                if attempt == self._attempts or error.diagnostics[0].code in WHOLE:
                    raise
                self.skipped[self.records.files(index)[0]] = error
                index += 1
        raise AssertionError

    def _checked(self, index: int) -> tuple[Array, ...]:
        """A record. Raises NetcError E504 for other shapes than those of the first."""
        tops = self.records.read(index)
        for top, path, shape in zip(tops, self.records.files(index), self._shapes):
            if top.shape != shape:
                found, wanted = ("x".join(map(str, each)) for each in (top.shape, shape))
                raise NetcError(f"`{path}` has a blob of {found}, the first one is {wanted}", code="E504", field=PREFIX)
        return tops


class PendingRecords:
    """Records that are being read."""

    def __init__(self, future: Future[tuple[Array, ...]]) -> None:
        self._future = future
        self.cancel = future.cancel

    def result(self) -> Batch:
        """Wait for the records. Raises NetcError for one that cannot be read."""
        return Batch(self._future.result())
